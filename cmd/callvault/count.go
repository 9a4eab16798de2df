package main

import (
	"strings"

	"github.com/dustin/go-humanize"
)

// counted is a number with its noun: 1 fault, 1,204 faults, 2 deliveries.
func counted[N int | int64](n N, noun string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(noun, "y"):
		noun = strings.TrimSuffix(noun, "y") + "ies"
	default:
		noun += "s"
	}
	return humanize.Comma(int64(n)) + " " + noun
}

// verb is the one of two words that goes with a number: 1 was, 2 were.
func verb[N int | int64](n N, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
