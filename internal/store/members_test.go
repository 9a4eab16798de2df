package store_test

import (
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
)

func TestMembers(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s, other := open(t, o), open(t, o)
		claim := func(s *store.Store, account string, after time.Duration) bool {
			return must(s.ClaimMemberList(t.Context(), account, after))(t)
		}
		if !claim(s, "sales", time.Hour) || claim(other, "sales", time.Hour) || !claim(other, "more", time.Hour) {
			t.Error("not one node is to ask")
		}
		if !claim(other, "sales", 0) {
			t.Error("it is not asked again")
		}
		set := func(s *store.Store, account string, list ...call.Member) {
			t.Helper()
			if err := s.SetMembers(t.Context(), account, list); err != nil {
				t.Fatal(err)
			}
		}
		asha, ravi := call.Member{Account: "sales", Number: "+919311122233", Name: "Asha\x00 R."}, call.Member{Account: "sales", Number: "+919800000001", Name: "Ravi"}
		more := call.Member{Account: "more", Number: "+919311122233", Name: "दीपा"}
		set(s, "sales", asha, ravi)
		set(s, "more", more)
		set(other, "sales", asha)
		asha.Name = "Asha R."
		if diff := cmp.Diff([]call.Member{more, asha}, must(s.Members(t.Context()))(t)); diff != "" {
			t.Error(diff)
		}
		set(s, "more")
		if n := len(must(other.Members(t.Context()))(t)); n != 1 {
			t.Errorf("%d members", n)
		}
	})
}
