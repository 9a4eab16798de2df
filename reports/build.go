package reports

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"callvault/internal/call"
)

// File is a file of a report on this machine.
type File struct {
	Name, Path string
	MediaType  string
	// Size is in bytes.
	Size   int64
	SHA256 [32]byte
}

// The names of a report's files that are not for reading: its frozen input, the
// two forms of its mail, and, while the workbook is made, a part of the input.
// The pictures of the mail are others; see isPicture.
const (
	inputName     = call.RunInput
	mailTextName  = "mail.txt"
	mailHTMLName  = "mail.html"
	concernedName = "concerned.ndjson.zst"
)

// isAttachment reports whether a file of a run goes with its mail.
func isAttachment(name string) bool {
	return name != inputName && name != mailTextName && name != mailHTMLName && !isPicture(name)
}

// BuildFiles makes a report's workbook and CSV files from its frozen input, in
// the folder dir. The same input gives the same bytes.
func BuildFiles(ctx context.Context, in *Input, dir string) ([]File, *Figures, error) {
	b := builder{in: in, dir: dir, base: in.Settings.Report + "-" + in.period().Label()}
	report := Report{Formats: in.Settings.Formats}
	figures, err := b.measure(ctx, report.has(XLSX), report.has(CSV))
	if err != nil {
		return nil, nil, err
	}
	if report.has(XLSX) {
		path := b.add(b.base+".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")
		if err := writeWorkbook(ctx, in, figures, path, maxRows); err != nil {
			return nil, nil, err
		}
	}
	if report.has(CSV) {
		b.addCSV("calls") // written with the measures
		if err := writeCSV(ctx, b.addCSV("agents"), in.zone, agentRecords(new(styles), in, figures)); err != nil {
			return nil, nil, fmt.Errorf("write agents as CSV: %w", err)
		}
		if err := writeCSV(ctx, b.addCSV("summary"), in.zone, summaryRecords(new(styles), in, figures)); err != nil {
			return nil, nil, fmt.Errorf("write summary as CSV: %w", err)
		}
	}
	for i := range b.files {
		if err := b.files[i].sum(); err != nil {
			return nil, nil, err
		}
	}
	return b.files, figures, nil
}

// builder collects the files of one report.
type builder struct {
	in        *Input
	dir, base string
	files     []File
}

// add names a further file and returns its path.
func (b *builder) add(name, mediaType string) string {
	path := filepath.Join(b.dir, name)
	b.files = append(b.files, File{Name: name, Path: path, MediaType: mediaType})
	return path
}

func (b *builder) addCSV(table string) string {
	return b.add(b.base+"-"+table+".csv", "text/csv; charset=utf-8")
}

// measure computes the figures and, in the same pass, writes the calls as CSV,
// and for the workbook those calls apart whose recordings need attention.
func (b *builder) measure(ctx context.Context, withXLSX, withCSV bool) (figures *Figures, err error) {
	var visits []func(*row, bool) error
	if withCSV {
		calls := callRecords(new(styles), b.in)
		var file *csvFile
		if file, err = createCSV(filepath.Join(b.dir, b.base+"-calls.csv"), b.in.zone, calls.headings()...); err != nil {
			return nil, fmt.Errorf("write calls as CSV: %w", err)
		}
		defer func() { err = errors.Join(err, file.close()) }()
		visits = append(visits, func(c *row, _ bool) error { return writeRow(file, calls.columns, c) })
	}
	var concerned *inputWriter
	if withXLSX {
		if concerned, err = createInput(filepath.Join(b.dir, concernedName), b.in.Settings); err != nil {
			return nil, fmt.Errorf("gather calls for the workbook: %w", err)
		}
		defer func() { err = errors.Join(err, concerned.close()) }()
		visits = append(visits, func(c *row, attention bool) error {
			if !attention {
				return nil
			}
			return concerned.write(line{Call: c})
		})
	}
	figures, err = measure(ctx, b.in, func(c *row, attention bool) error {
		for _, visit := range visits {
			if err := visit(c, attention); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || concerned == nil {
		return figures, err
	}
	figures.concerned = &concerned.input
	figures.concerned.zone = b.in.zone
	return figures, concerned.write(line{Comparison: new(comparison)})
}

// sum fills in the file's size and hash.
func (f *File) sum() (err error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	h := sha256.New()
	if f.Size, err = io.Copy(h, file); err != nil {
		return err
	}
	h.Sum(f.SHA256[:0])
	return nil
}

// copyTo copies a file into a folder.
func (f *File) copyTo(dir string) (err error) {
	in, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(filepath.Join(dir, f.Name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// put keeps a file in the vault.
func (r *Reporter) put(ctx context.Context, f *File, key string, until time.Time) (err error) {
	body, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	if err := r.vault.PutFile(ctx, key, body, f.Size, f.SHA256, f.MediaType, until); err != nil {
		return fmt.Errorf("keep %s: %w", f.Name, err)
	}
	return nil
}
