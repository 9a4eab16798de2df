// Command earlier makes up the call reports of the days before a day, for the
// pictures in the documentation: a demo has one day, and nothing to compare it
// with. It writes one file for each account and form of report, as callvault
// import takes them.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"mime"
	"mime/multipart"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"callvault/internal/simulator"
)

// callsOn are how many calls a day has, Sunday first.
var callsOn = [7]int{290, 360, 335, 345, 325, 350, 315}

func main() {
	before := flag.String("before", "", "the day before which they are, as YYYY-MM-DD")
	days := flag.Int("days", 45, "how many days")
	dir := flag.String("dir", ".", "the folder to write to")
	flag.Parse()
	if err := write(*before, *days, *dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(before string, days int, dir string) error {
	end, err := time.Parse(time.DateOnly, before)
	if err != nil {
		return err
	}
	lines := make(map[string]*bytes.Buffer)
	for n := days; n > 0; n-- {
		date := end.AddDate(0, 0, -n)
		day, err := simulator.NewDay(simulator.Options{Seed: uint64(100 + n), Date: date, Calls: callsOn[date.Weekday()] + n*7%40})
		if err != nil {
			return err
		}
		for i := range day.Events {
			if day.Events[i].Kind != simulator.Report {
				continue
			}
			if err := add(lines, &day.Events[i]); err != nil {
				return err
			}
		}
	}
	var faults []error
	for name, content := range lines {
		faults = append(faults, os.WriteFile(filepath.Join(dir, name), content.Bytes(), 0o600))
	}
	return errors.Join(faults...)
}

// add adds a report to the file of its account and form.
func add(lines map[string]*bytes.Buffer, e *simulator.Event) error {
	form, line := "form", []byte(e.Query)
	kind, params, err := mime.ParseMediaType(e.ContentType)
	switch {
	case len(e.Body) == 0:
	case err != nil:
		return err
	case kind == "multipart/form-data": // a file of lines has no such parts
		fields, err := multipart.NewReader(bytes.NewReader(e.Body), params["boundary"]).ReadForm(1 << 20)
		if err != nil {
			return err
		}
		line = []byte(url.Values(fields.Value).Encode())
	case kind == "application/json":
		var compact bytes.Buffer
		if err := json.Compact(&compact, e.Body); err != nil {
			return err
		}
		form, line = "json", compact.Bytes()
	default:
		line = e.Body
	}
	name := e.Account + "." + form
	if lines[name] == nil {
		lines[name] = new(bytes.Buffer)
	}
	lines[name].Write(append(line, '\n'))
	return nil
}
