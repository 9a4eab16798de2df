package reports

import (
	"context"
	"path/filepath"
	"testing"
)

const benchmarkCalls = 200_000

// BenchmarkWorkbook writes the workbook of 200,000 calls, 30 cells each, from
// frozen input and figures that are there. internal/bench/libxlsxwriter.c
// writes the same cells with libxlsxwriter.
func BenchmarkWorkbook(b *testing.B) {
	in := benchmarkInput(b, benchmarkCalls)
	figures, err := measure(context.Background(), in, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		err := writeWorkbook(context.Background(), in, figures, filepath.Join(b.TempDir(), "b.xlsx"), maxRows)
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(30*benchmarkCalls*float64(b.N)/b.Elapsed().Seconds(), "cells/s")
}

// BenchmarkBuildFiles makes all files of a report from its frozen input.
func BenchmarkBuildFiles(b *testing.B) {
	in := benchmarkInput(b, benchmarkCalls)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := BuildFiles(context.Background(), in, b.TempDir()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(30*benchmarkCalls*float64(b.N)/b.Elapsed().Seconds(), "cells/s")
}

// BenchmarkFreeze writes the frozen input.
func BenchmarkFreeze(b *testing.B) {
	for b.Loop() {
		benchmarkInput(b, benchmarkCalls)
	}
}
