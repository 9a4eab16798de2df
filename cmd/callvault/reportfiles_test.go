package main

import (
	"net/http"
	"strings"
	"syscall"
	"testing"

	"callvault/internal/call"
	"callvault/internal/console"

	"github.com/google/go-cmp/cmp"
)

// TestReportFilesTerm lets the term of a report's files be over: the plan says so,
// apply deletes them, nobody takes that for a loss, and a database that is made
// again knows it.
func TestReportFilesTerm(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		vault := ""
		if s.bucket == nil {
			vault = "vault: {directory: " + t.TempDir() + "}\n"
		}
		more := vault + "retention: {reports: 30d}\n"
		in := install(t, s, anySize(), more)
		in.reporting(t)
		p := in.start(t)
		built := commandJSON[struct{ Files []string }](t, "report", "daily", "--date", "2026-10-01", "--out", t.TempDir(), "--data", in.data)
		plan := command(t, "", "retention", "plan", "--list", "--data", in.data)
		if !strings.Contains(plan.stdout, "reports/daily/2026-10-01/") || !strings.Contains(plan.stdout, "REPORT FILES") || !strings.Contains(plan.stdout, "2026-11") {
			t.Errorf("plan: %+v", plan)
		}
		planned := commandJSON[console.RetentionPlan](t, "retention", "plan", "--data", in.data)
		if len(planned.Reports) != 1 || planned.Reports[0].Runs != 1 || planned.Reports[0].By != "reports: 30d" || planned.Reports[0].Bytes == 0 {
			t.Errorf("plan: %+v", planned.Reports)
		}
		applied := command(t, "", "retention", "apply", "--data", in.data)
		if applied.status != exitDone || !strings.Contains(applied.stdout, "The files of 1 report were deleted") {
			t.Errorf("apply: %+v", applied)
		}
		check := command(t, "", "report", "daily", "--date", "2026-10-01", "--check", built.Files[0], "--data", in.data)
		if check.status != exitWrong || !strings.Contains(check.stderr, "the files of this report were deleted on") {
			t.Errorf("a file whose input is gone: %+v", check)
		}
		stored, v := in.openStored(t)
		for o, err := range v.List(t.Context(), "reports/") {
			t.Errorf("left in the vault: %s, %v", o.Key, err)
		}
		runs, _, err := stored.FindRuns(t.Context(), call.RunFilter{})
		if err != nil || len(runs) != 1 || len(runs[0].Files) == 0 {
			t.Fatalf("runs: %+v, %v", runs, err)
		}
		token := commandJSON[struct{ Token string }](t, "token", "add", "reader", "--role", "manager", "--data", in.data).Token
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/api/v1/reports/"+runs[0].ID+"/files/"+strings.ReplaceAll(runs[0].Files[0].Name, " ", "%20"), nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusNotFound {
			t.Errorf("a file that is gone: %s, %v", response.Status, err)
		}
		p.stop(syscall.SIGTERM)
		if got, status := in.verify(t); status != exitDone {
			t.Errorf("verify: status %d: %+v", status, got.Faults)
		}

		before := tables(t, in, s)["runs"]
		again := in
		again.data = t.TempDir()
		to := storage{bucket: s.bucket, s3: s.s3}
		again.configure(t, to, more)
		if got := commandJSON[rebuildResult](t, "rebuild", "--data", again.data); len(got.Faults) != 0 {
			t.Errorf("rebuild: %+v", got)
		}
		if diff := cmp.Diff(before, tables(t, again, to)["runs"]); diff != "" {
			t.Errorf("runs made again (-before +after):\n%s", diff)
		}
	})
}
