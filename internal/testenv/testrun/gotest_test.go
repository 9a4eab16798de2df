package main

import (
	"errors"
	"strings"
	"testing"
)

func TestFollowAndJudge(t *testing.T) {
	t.Parallel()
	const passed = `{"Action":"start","Package":"a"}
{"Action":"run","Package":"a","Test":"TestGood"}
{"Action":"output","Package":"a","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"output","Package":"a","Test":"TestGood","Output":"    good_test.go:1: chatter\n"}
{"Action":"pass","Package":"a","Test":"TestGood","Elapsed":0}
{"Action":"output","Package":"a","Output":"PASS\n"}
{"Action":"output","Package":"a","Output":"ok  \ta\t0.01s\n"}
{"Action":"pass","Package":"a","Elapsed":0.01}
`
	tests := []struct {
		name    string
		events  string
		runErr  error
		fails   bool
		says    []string
		conceal string
	}{
		{
			name: "all passed", events: passed,
			says:    []string{"ok  \ta\t0.01s", "1 tests passed, 0 failed, 0 skipped in 1 packages"},
			conceal: "chatter",
		},
		{
			name: "a package without tests is no skipped test",
			events: passed + `{"Action":"output","Package":"b","Output":"?   \tb\t[no test files]\n"}
{"Action":"skip","Package":"b","Elapsed":0}
`,
			says: []string{"?   \tb\t[no test files]", "0 skipped"},
		},
		{
			name: "one skipped",
			events: passed + `{"Action":"output","Package":"b","Test":"TestNot","Output":"    b_test.go:1: no server\n"}
{"Action":"skip","Package":"b","Test":"TestNot","Elapsed":0}
{"Action":"output","Package":"b","Output":"ok  \tb\t0.01s\n"}
{"Action":"pass","Package":"b","Elapsed":0.01}
`,
			fails: true, says: []string{"no server", "skipped b TestNot"},
		},
		{
			name: "one failed",
			events: passed + `{"Action":"output","Package":"b","Test":"TestBad","Output":"    b_test.go:1: got 1, want 2\n"}
{"Action":"fail","Package":"b","Test":"TestBad","Elapsed":0}
{"Action":"output","Package":"b","Output":"FAIL\tb\t0.01s\n"}
{"Action":"fail","Package":"b","Elapsed":0.01}
`,
			runErr: errors.New("exit status 1"), fails: true,
			says: []string{"got 1, want 2", "FAIL\tb\t0.01s", "failed  b TestBad"},
		},
		{
			name: "one taken by a panic",
			events: passed + `{"Action":"output","Package":"b","Test":"TestBad","Output":"panic: boom\n"}
{"Action":"fail","Package":"b","Elapsed":0.01}
`,
			runErr: errors.New("exit status 1"), fails: true,
			says: []string{"panic: boom", "failed  b TestBad"},
		},
		{
			name: "does not compile",
			events: `{"ImportPath":"b","Action":"build-output","Output":"b.go:1:1: syntax error\n"}
{"ImportPath":"b","Action":"build-fail"}
{"Action":"output","Package":"b","Output":"FAIL\tb [build failed]\n"}
{"Action":"fail","Package":"b","Elapsed":0,"FailedBuild":"b"}
`,
			runErr: errors.New("exit status 1"), fails: true,
			says: []string{"b.go:1:1: syntax error", "FAIL\tb [build failed]"},
		},
		{
			name: "go speaks for itself", events: "no Go files\n",
			runErr: errors.New("exit status 1"), fails: true, says: []string{"no Go files"},
		},
		{name: "nothing ran", events: "", fails: true, says: []string{"0 tests passed"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			result, err := follow(strings.NewReader(test.events), &out)
			if err != nil {
				t.Fatal(err)
			}
			err = result.judge(&out, test.runErr)
			if (err != nil) != test.fails {
				t.Errorf("error %v, want one: %t", err, test.fails)
			}
			for _, want := range test.says {
				if !strings.Contains(out.String(), want) {
					t.Errorf("output lacks %q:\n%s", want, out.String())
				}
			}
			if test.conceal != "" && strings.Contains(out.String(), test.conceal) {
				t.Errorf("output has %q:\n%s", test.conceal, out.String())
			}
		})
	}
}
