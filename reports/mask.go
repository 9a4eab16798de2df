package reports

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"callvault/internal/call"
)

// MaskBy gives what hides numbers by a secret key: a number becomes C- and 12
// letters and digits, 60 bits of its HMAC-SHA256, the same for the same number.
// Without the key nobody can tell whose it is; with it whoever tries all numbers
// there are.
func MaskBy(key []byte) func(number string) string {
	return func(number string) string {
		if number == "" {
			return ""
		}
		h := hmac.New(sha256.New, key)
		h.Write([]byte(number))
		return "C-" + strings.ToUpper(base32.HexEncoding.EncodeToString(h.Sum(nil))[:12])
	}
}

// errNoMask: a report is to hide numbers, and nothing that hides them was given.
var errNoMask = errors.New("the report hides numbers, and there is no key to do so")

// hide hides customers' numbers in what is made of an input from now on, if its
// report does so. The input has them, and is not mailed.
func (r *Reporter) hide(in *Input) (err error) {
	if !in.Settings.Masked {
		return nil
	}
	if r.mask == nil {
		return errNoMask
	}
	in.mask, err = r.mask()
	return err
}

// hides reports whether a report, as it is configured, hides customers' numbers.
func (r *Reporter) hides(name string) bool {
	n, err := r.index(name)
	return err == nil && r.reports[n].MaskNumbers
}

// showsNumbers reports whether what was made of an input has customers' numbers.
// Of the input it reads the settings alone.
func (r *Reporter) showsNumbers(ctx context.Context, f call.RunFile) (shows bool, err error) {
	body, err := r.vault.OpenFile(ctx, f.ObjectKey)
	if err != nil {
		return false, fmt.Errorf("fetch %s: %w", f.Name, err)
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	z, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return false, err
	}
	defer z.Close()
	var first line
	if err := json.NewDecoder(z).Decode(&first); err != nil || first.Settings == nil {
		return false, fmt.Errorf("read the settings in %s: %w", f.Name, cmp.Or(err, errNoSettings))
	}
	return !first.Settings.Masked, nil
}

// whyNotShown says why a run is not mailed that has numbers which its report
// hides by now, and what to do.
func (r *Reporter) whyNotShown(run call.Run) string {
	day := run.PeriodFrom
	if n, err := r.index(run.Report); err == nil {
		day = day.In(r.reports[n].Zone)
	}
	return fmt.Sprintf("it was made before mask_numbers was switched on, and has customers' numbers; "+
		"callvault report %s --date %s --revise --current-config --send mails a revision without them", run.Report, day.Format(time.DateOnly))
}

// masking hides the numbers in what is given to callbacks.
func (in *Input) masking(onCall func(*row) error, onMissing func(*missing) error) (func(*row) error, func(*missing) error) {
	if in.mask == nil {
		return onCall, onMissing
	}
	maskedCall, maskedMissing := onCall, onMissing
	if onCall != nil {
		maskedCall = func(r *row) error {
			r.CustomerNumber = in.mask(r.CustomerNumber)
			return onCall(r)
		}
	}
	if onMissing != nil {
		maskedMissing = func(m *missing) error {
			m.Number = in.mask(m.Number)
			return onMissing(m)
		}
	}
	return maskedCall, maskedMissing
}

// maskChange hides the numbers in a line of a change.
func (in *Input) maskChange(c *callChange) {
	if in.mask == nil {
		return
	}
	c.CustomerNumber = in.mask(c.CustomerNumber)
	if c.Field == customerField {
		c.Before, c.After = in.mask(c.Before), in.mask(c.After)
	}
}
