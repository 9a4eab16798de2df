package archive_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"

	"callvault/archive"
	"callvault/internal/testenv"
)

// recorder stands between a vault and its store, and keeps the requests.
type recorder struct {
	mu   sync.Mutex
	seen []*http.Request
}

// between lets opts go through a recorder.
func between(t *testing.T, opts archive.S3Options, answer func(*http.Response) error) (archive.S3Options, *recorder) {
	t.Helper()
	endpoint, err := url.Parse(opts.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{}
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(endpoint)
			p.Out.Host = p.In.Host // it is signed
			r.mu.Lock()
			defer r.mu.Unlock()
			r.seen = append(r.seen, p.In)
		},
		ModifyResponse: answer,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler) // the answer is lost
		},
	})
	t.Cleanup(server.Close)
	opts.Endpoint = server.URL
	return opts, r
}

// requests says what was asked since the last time.
func (r *recorder) requests() []*http.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = nil
	return seen
}

// lockModes are the modes that lock.
func lockModes() []archive.LockMode {
	return []archive.LockMode{archive.Governance, archive.Compliance}
}

// TestS3LockedRequest looks at what really goes over the wire: one request
// that carries checksum, mode, date and hold, all of them signed. Amazon's S3
// refuses a locked PUT without a checksum, MinIO takes it.
func TestS3LockedRequest(t *testing.T) {
	t.Parallel()
	for _, mode := range lockModes() {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			opts := s3Options(testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true}))
			opts.Lock, opts.Encryption = mode, "sse-s3"
			opts, seen := between(t, opts, nil)
			v := openS3(t, opts)
			until := time.Date(2036, 11, 21, 9, 0, 0, 1, time.FixedZone("", 19800))
			sum := sha256.Sum256([]byte("audio"))
			for i, put := range []struct {
				protection archive.Protection
				headers    map[string]string
			}{
				{archive.Protection{Until: until, Hold: true}, map[string]string{
					"X-Amz-Object-Lock-Mode":              strings.ToUpper(string(mode)),
					"X-Amz-Object-Lock-Retain-Until-Date": "2036-11-21T03:30:01Z",
					"X-Amz-Object-Lock-Legal-Hold":        "ON",
				}},
				{archive.Protection{}, map[string]string{
					"X-Amz-Object-Lock-Mode": "", "X-Amz-Object-Lock-Retain-Until-Date": "", "X-Amz-Object-Lock-Legal-Hold": "",
				}},
			} {
				seen.requests()
				o := describe([]byte("audio"))
				o.Protection = put.protection
				if err := v.Put(t.Context(), "calls/"+string(rune('a'+i)), strings.NewReader("audio"), o); err != nil {
					t.Fatal(err)
				}
				requests := seen.requests()
				if i == 0 { // before the first it asks whether the bucket can lock
					if len(requests) != 2 || requests[0].URL.RawQuery != "object-lock=" {
						t.Fatalf("%d requests, the first for %s", len(requests), requests[0].URL)
					}
					requests = requests[1:]
				}
				if len(requests) != 1 || requests[0].Method != http.MethodPut {
					t.Fatalf("%d requests, want 1", len(requests))
				}
				want := map[string]string{
					"X-Amz-Checksum-Sha256":        base64.StdEncoding.EncodeToString(sum[:]),
					"X-Amz-Server-Side-Encryption": "AES256",
					"If-None-Match":                "*",
				}
				signed := requests[0].Header.Get("Authorization")
				got := map[string]string{}
				maps.Copy(want, put.headers)
				for name, value := range want {
					got[name] = requests[0].Header.Get(name)
					if value != "" && !strings.Contains(signed, strings.ToLower(name)) {
						t.Errorf("%s is not signed", name)
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("put %d (-want +got):\n%s", i, diff)
				}
			}
		})
	}
}

// TestS3NeverBypassesGovernance does all there is, with the rights of the
// administrator, and looks at every request.
func TestS3NeverBypassesGovernance(t *testing.T) {
	t.Parallel()
	opts := s3Options(testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true}))
	opts.Lock = archive.Governance
	direct := opts
	opts, seen := between(t, opts, nil)
	v := openS3(t, opts)
	o := describe([]byte("audio"))
	o.Protection.Until = time.Now().Add(time.Hour)
	if err := v.Put(t.Context(), "a", strings.NewReader("audio"), o); err != nil {
		t.Fatal(err)
	}
	if err := v.Protect(t.Context(), "a", archive.Protection{Until: time.Now().Add(2 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if _, ok := errors.AsType[*archive.LockedError](v.Delete(t.Context(), "a")); !ok {
		t.Error("a locked object is deleted")
	}
	for _, r := range seen.requests() {
		if r.Header.Get("X-Amz-Bypass-Governance-Retention") != "" {
			t.Errorf("%s %s bypasses governance", r.Method, r.URL)
		}
	}
	// Only so is it known that there was something to bypass.
	err := plainClient(t, direct).RemoveObject(t.Context(), opts.Bucket, "a",
		bypass(versions(t, v, "a")[0].ID))
	if err != nil {
		t.Error(err)
	}
}

// TestS3Versions lets somebody else put other versions over an object and
// hide it: all of that shows, is protected, and goes with it.
func TestS3Versions(t *testing.T) {
	t.Parallel()
	opts := s3Options(testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true}))
	opts.Lock = archive.Governance
	v, somebody := openS3(t, opts), plainClient(t, opts)
	overwrite := func(key, body string) {
		t.Helper()
		_, err := somebody.PutObject(t.Context(), opts.Bucket, key, strings.NewReader(body), int64(len(body)), minio.PutObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	put(t, v, "calls/a", "audio")
	put(t, v, "calls/b", "other")
	put(t, v, "calls/a.b", "neighbour")
	overwrite("calls/a", "forged")
	if err := somebody.RemoveObject(t.Context(), opts.Bucket, "calls/b", minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff([]string{"calls/a", "calls/a.b"}, list(t, v, "calls/")); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	type seen struct {
		Key            string
		Size           int64
		Latest, Marker bool
	}
	var got []seen
	ids := map[string]bool{}
	for _, version := range versions(t, v, "calls/") {
		got = append(got, seen{version.Key, version.Size, version.Latest, version.Marker})
		ids[version.ID] = true
	}
	want := []seen{
		{"calls/a", 6, true, false}, {"calls/a", 5, false, false}, {"calls/a.b", 9, true, false},
		{"calls/b", 0, true, true}, {"calls/b", 5, false, false},
	}
	if diff := cmp.Diff(want, got); diff != "" || len(ids) != len(want) {
		t.Errorf("%d versions (-want +got):\n%s", len(ids), diff)
	}

	// Protected is what was archived, not only what was put over it.
	until := time.Now().Add(time.Hour)
	for _, key := range []string{"calls/a", "calls/b"} {
		if err := v.Protect(t.Context(), key, archive.Protection{Until: until}); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range versions(t, v, "calls/") {
		if version.Marker || version.Key == "calls/a.b" {
			continue
		}
		mode, _, err := somebody.GetObjectRetention(t.Context(), opts.Bucket, version.Key, version.ID)
		if err != nil || mode == nil || *mode != minio.Governance {
			t.Errorf("%s of %d bytes: %v", version.Key, version.Size, err)
		}
	}
	// Nothing is deleted but what hides an object.
	for key, left := range map[string]int{"calls/a": 2, "calls/b": 1} {
		if _, ok := errors.AsType[*archive.LockedError](v.Delete(t.Context(), key)); !ok {
			t.Errorf("%s is deleted", key)
		}
		n := 0
		for _, version := range versions(t, v, key) {
			if version.Key == key {
				n++
			}
		}
		if n != left {
			t.Errorf("%d versions of %s are left, want %d", n, key, left)
		}
	}
	if body, _ := read(t, v, "calls/b", 0, -1); string(body) != "other" {
		t.Errorf("what was hidden is %q", body)
	}
	overwrite("calls/a.b", "forged neighbour")
	if err := v.Delete(t.Context(), "calls/a.b"); err != nil {
		t.Fatal(err)
	}
	if got := versions(t, v, "calls/a.b"); len(got) != 0 {
		t.Errorf("left: %+v", got)
	}
}

// TestS3KeepsAModeThatLasts: what another mode locked stays as it is locked,
// and is only made longer.
func TestS3KeepsAModeThatLasts(t *testing.T) {
	t.Parallel()
	opts := s3Options(testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true}))
	for _, was := range lockModes() {
		key := "was/" + string(was)
		opts.Lock = was
		o := describe([]byte("audio"))
		o.Protection.Until = time.Now().Add(time.Hour)
		if err := openS3(t, opts).Put(t.Context(), key, strings.NewReader("audio"), o); err != nil {
			t.Fatal(err)
		}
		for _, is := range lockModes() {
			opts.Lock = is
			o.Protection.Until = o.Protection.Until.Add(time.Hour).Truncate(time.Second).UTC()
			v := openS3(t, opts)
			if err := v.Protect(t.Context(), key, o.Protection); err != nil {
				t.Fatal(err)
			}
			info, err := v.Stat(t.Context(), key)
			if err != nil || info.LockMode != was || info.Protection != o.Protection {
				t.Errorf("%s, now %s: %s until %v, %v", was, is, info.LockMode, info.Protection.Until, err)
			}
		}
	}
}

// TestS3CannotLock: nothing is put into a bucket that cannot lock, also when
// the object needs no lock of its own.
func TestS3CannotLock(t *testing.T) {
	t.Parallel()
	for _, bucket := range []testenv.BucketOptions{{}, {Versioned: true}} {
		opts := s3Options(testenv.MinIO(t, bucket))
		for _, create := range []bool{false, true} {
			opts.Lock, opts.CreateBucket = archive.Compliance, create
			v := openS3(t, opts)
			for act, err := range map[string]error{
				"check": v.Check(t.Context()),
				"put":   v.Put(t.Context(), "a", strings.NewReader("x"), describe([]byte("x"))),
			} {
				if !errors.Is(err, archive.ErrCannotLock) {
					t.Errorf("%s: got %v, want %v", act, err, archive.ErrCannotLock)
				}
			}
			if got := list(t, v, ""); len(got) != 0 {
				t.Errorf("listed: %v", got)
			}
		}
		keeps, err := openS3(t, opts).KeepsVersions(t.Context())
		if err != nil || keeps != bucket.Versioned {
			t.Errorf("keeps versions: %t, %v", keeps, err)
		}
	}
}

// TestS3LostAnswer loses the answers to PUTs that went through, in buckets that
// would keep a second version.
func TestS3LostAnswer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bucket testenv.BucketOptions
		lock   archive.LockMode
	}{
		"versioned": {testenv.BucketOptions{Versioned: true}, archive.Unlocked},
		"locked":    {testenv.BucketOptions{ObjectLock: true}, archive.Compliance},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := s3Options(testenv.MinIO(t, c.bucket))
			opts.Lock = c.lock
			var lost sync.Map
			opts, seen := between(t, opts, func(r *http.Response) error {
				_, before := lost.LoadOrStore(r.Request.URL.Path, true)
				if r.Request.Method == http.MethodPut && r.StatusCode == http.StatusOK && !before {
					return errors.New("the line is cut")
				}
				return nil
			})
			v := openS3(t, opts)
			body := bytes.Repeat([]byte("a"), 100_000)
			o := describe(body)
			o.Protection.Until = time.Now().Add(time.Hour)
			var wait sync.WaitGroup
			for range 4 { // of those whose lease is lost, one may still write
				wait.Go(func() {
					if err := archive.PutOnce(t.Context(), v, "calls/a", bytes.NewReader(body), o); err != nil {
						t.Error(err)
					}
				})
			}
			wait.Wait()
			if _, cut := lost.Load("/" + opts.Bucket + "/calls/a"); !cut {
				t.Error("no answer was lost")
			}
			if n := len(seen.requests()); n < 6 {
				t.Errorf("only %d requests", n)
			}
			if got := versions(t, v, ""); len(got) != 1 {
				t.Errorf("versions: %+v", got)
			}
			info, err := v.Stat(t.Context(), "calls/a")
			if err != nil || hex.EncodeToString(info.SHA256[:]) != hexSHA256(string(body)) || (info.LockMode != c.lock) {
				t.Errorf("%+v, %v", info, err)
			}
		})
	}
}

// TestS3ClockAhead lets the store's answers have other dates.
func TestS3ClockAhead(t *testing.T) {
	t.Parallel()
	opts := s3Options(testenv.MinIO(t, testenv.BucketOptions{}))
	var date time.Time
	opts, _ = between(t, opts, func(r *http.Response) error {
		r.Header["Date"] = []string{date.UTC().Format(http.TimeFormat)}
		return nil
	})
	v := openS3(t, opts)
	for _, wrong := range []time.Duration{0, 3 * time.Second, time.Minute, -4 * time.Second, -time.Hour, 0} {
		date = time.Now().Add(wrong)
		if err := v.Check(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		want := wrong
		if wrong.Abs() < 5*time.Second {
			want = 0
		}
		if got := v.ClockAhead(); (got-want).Abs() > 3*time.Second || (want == 0) != (got == 0) {
			t.Errorf("ahead by %v, want about %v", got, want)
		}
	}
}

// bypass deletes one version in spite of governance, if the right is there.
func bypass(version string) minio.RemoveObjectOptions {
	return minio.RemoveObjectOptions{VersionID: version, GovernanceBypass: true}
}
