package call

import "time"

// AnalysisState is how far the analysis of a recording is.
type AnalysisState string

// The states of an analysis.
const (
	// AnalysisPending: it comes when nothing else is to be done.
	AnalysisPending AnalysisState = "pending"
	Analysed        AnalysisState = "analysed"
	// NotAnalysed: it never comes, for Analysis.Reason.
	NotAnalysed AnalysisState = "not_analysed"
)

// Analysis is how a recording sounds.
type Analysis struct {
	State AnalysisState
	// Reason says for people why it was not analysed.
	Reason string
	// Silence is the share of silence of each channel, 0 to 1.
	Silence []float64
	// Peaks are the waveform of each channel: the greatest amplitude of each of
	// at most MostPeaks equally long parts, 0 to 255 of full scale. The last part
	// may be shorter.
	Peaks      [][]byte
	AnalysedAt time.Time
}

// MostPeaks bounds the peaks of one channel.
const MostPeaks = 800

// AnalysisClaim is a recording that a worker analyses, for as long as its lease
// holds.
type AnalysisClaim struct {
	Recording
	LeaseToken string
	// Tries counts this one.
	Tries int
}
