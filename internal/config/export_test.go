package config

import (
	"strings"
	"testing"
)

func TestExportKeep(t *testing.T) {
	t.Parallel()
	for _, keep := range []string{"forever", "366d", "2y"} {
		got := strings.Join(faultsOf(t, "export: {keep: "+keep+"}\n"), "\n")
		if want := "export.keep: must be from 1d to 1y"; !strings.HasSuffix(got, want) {
			t.Errorf("%s: %q, want %q", keep, got, want)
		}
	}
}
