package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// table is what a benchmark has found.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// String is the table in Markdown, with columns that line up.
func (t *table) String() string {
	widths := make([]int, len(t.head))
	all := append([][]string{t.head}, t.rows...)
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	var out strings.Builder
	for n, row := range all {
		for i, cell := range row {
			out.WriteString("| " + cell + strings.Repeat(" ", widths[i]-len([]rune(cell))+1))
		}
		out.WriteString("|\n")
		if n == 0 {
			for _, w := range widths {
				out.WriteString("|" + strings.Repeat("-", w+2))
			}
			out.WriteString("|\n")
		}
	}
	return out.String()
}

// spread is the median of what runs have shown, with the least and the most.
func spread[T any](runs []T, format string, of func(T) float64) string {
	values := make([]float64, len(runs))
	for i, r := range runs {
		values[i] = of(r)
	}
	slices.Sort(values)
	middle := median(values)
	if len(values) == 1 {
		return fmt.Sprintf(format, middle)
	}
	number, unit, _ := strings.Cut(format, " ")
	text := fmt.Sprintf(number+" ("+number+"–"+number+")", middle, values[0], values[len(values)-1])
	if unit != "" {
		text += " " + unit
	}
	return text
}

// median is the middle of sorted values.
func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }

// section is a benchmark's part of docs/performance.md.
func (b *bench) section(name string, tables []table) string {
	var out strings.Builder
	fmt.Fprintf(&out, "Measured on %s with `%s`\non %s, %s. Medians of %d runs, in brackets the least and the most.\n",
		time.Now().Format(time.DateOnly), b.commandLine(name), machine(), runtime.Version(), b.runs)
	for i := range tables {
		out.WriteString("\n" + tables[i].String())
	}
	return out.String()
}

// machine says what this machine is.
func machine() string {
	model := proc("/proc/cpuinfo", "model name")
	var kib int64
	if _, err := fmt.Sscan(proc("/proc/meminfo", "MemTotal"), &kib); err != nil {
		return fmt.Sprintf("%d cores (%s)", runtime.NumCPU(), model)
	}
	return fmt.Sprintf("%d cores (%s), %.0f GiB of memory", runtime.NumCPU(), model, float64(kib)/(1<<20))
}

// proc is a line's value in a file of "name : value".
func proc(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if key, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// marks are what a benchmark's part stands between in docs/performance.md.
func marks(name string) (begin, end string) {
	return "<!-- bench " + name + " -->\n", "<!-- end of bench " + name + " -->"
}

func hasSection(path, name string) error {
	_, _, err := aroundSection(path, name)
	return err
}

// aroundSection is what stands before and after a benchmark's part.
func aroundSection(path, name string) (before, after string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	begin, end := marks(name)
	before, rest, found := strings.Cut(string(text), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		return "", "", fmt.Errorf("%s has no marks for %s", path, name)
	}
	return before, after, nil
}

// replaceSection writes a benchmark's part.
func replaceSection(path, name, text string) error {
	before, after, err := aroundSection(path, name)
	if err != nil {
		return err
	}
	begin, end := marks(name)
	return os.WriteFile(path, []byte(before+begin+"\n"+text+"\n"+end+after), 0o600)
}
