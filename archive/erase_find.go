package archive

import (
	"bytes"
	"context"
	"errors"
	"io"

	"callvault/internal/call"

	"github.com/klauspost/compress/zstd"
)

// This file looks for what an erasure is about.

// find lists all that holds the number.
func (r *round) find(ctx context.Context) error {
	if err := r.o.Store.EraseLive(ctx, r.erasure.Number); err != nil {
		return err
	}
	// Before the rows say nothing any more of whom they are.
	if err := r.findExports(ctx); err != nil {
		return err
	}
	if err := r.findForgotten(ctx); err != nil {
		return err
	}
	for done := false; !done; {
		var err error
		if done, err = r.o.Store.ScanDeliveries(ctx, &r.erasure); err != nil {
			return err
		}
		if err := r.o.Store.RenewErasure(ctx, r.token, eraseLease); err != nil {
			return err
		}
	}
	return r.findReports(ctx)
}

// findJoined lists what holds calls that became part of the erasure since all was
// looked through. Nothing else is looked through for the number again: whoever
// called later is a customer like any other.
func (r *round) findJoined(ctx context.Context) error {
	due, err := r.o.Store.ErasureItems(ctx, r.erasure.ID, call.ErasedCall, "", 1, call.ErasureDue)
	if err != nil || len(due) == 0 {
		return err
	}
	if r.erasure.Certificate != "" {
		r.o.Logger.WarnContext(ctx, "calls turned out to be one with erased ones; they are erased, too", "erasure", r.erasure.ID)
	}
	if r.erasure.Number == "" {
		if r.guessed, err = r.o.Store.RecallNumber(ctx, &r.erasure); err != nil {
			return err
		}
	}
	if err := r.findExports(ctx); err != nil || r.erasure.Number == "" {
		return err
	}
	return r.findReports(ctx)
}

// findExports lists the bundles that may hold calls that are still to be erased.
func (r *round) findExports(ctx context.Context) error {
	number := r.erasure.Number
	if r.guessed {
		number = ""
	}
	exports, err := r.o.Store.ExportsOver(ctx, r.erasure.ID, number)
	if err != nil {
		return err
	}
	for _, id := range exports {
		if err := r.o.Store.AddErasureItem(ctx, r.erasure.ID, call.ErasedExport, id); err != nil {
			return err
		}
	}
	return nil
}

// holdsNumber looks through packed lines.
func holdsNumber(packed io.Reader, redactor *call.Redactor) (bool, error) {
	unpacked, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxInput))
	if err != nil {
		return false, err
	}
	defer unpacked.Close()
	// By pieces that overlap by more than a number.
	buffer := make([]byte, 0, 1<<20)
	for {
		n, err := io.ReadFull(unpacked, buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		if redactor.Holds(string(buffer)) {
			return true, nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		const overlap = 64
		buffer = append(buffer[:0], bytes.Clone(buffer[len(buffer)-overlap:])...)
	}
}
