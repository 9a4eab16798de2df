package archive

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// clockTolerance is by how much the clocks of store and node may differ
// without a word.
const clockTolerance = 5 * time.Second

// clock compares the store's clock with this node's, by the Date of all its
// answers: locks are given by the one and enforced by the other.
type clock struct {
	http.RoundTripper

	ahead atomic.Int64 // time.Duration
}

// RoundTrip implements http.RoundTripper.
func (c *clock) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := time.Now()
	answer, err := c.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		c.ahead.Store(int64(clockAhead(date, sent, time.Now())))
	}
	return answer, nil
}

// clockAhead is by how much a clock that said date, in whole seconds, at some
// time between sent and received is ahead at least; negative: behind.
func clockAhead(date, sent, received time.Time) time.Duration {
	switch {
	case date.After(received):
		return date.Sub(received)
	case date.Add(time.Second).Before(sent):
		return date.Add(time.Second).Sub(sent)
	}
	return 0
}

// ClockAhead is by how much the store's clock was ahead of this node's with
// its last answer, negative when it was behind, and zero when there was no
// telling them apart or they differ by no more than 5 seconds.
func (s *S3) ClockAhead() time.Duration {
	if ahead := time.Duration(s.clock.ahead.Load()); ahead.Abs() > clockTolerance {
		return ahead
	}
	return 0
}

// KeepsVersions asks whether the bucket keeps what somebody puts over an
// object or deletes without naming its version.
func (s *S3) KeepsVersions(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, s3AnswerLimit)
	defer cancel()
	versioning, err := s.core.GetBucketVersioning(ctx, s.bucket)
	if err != nil {
		return false, fmt.Errorf("look at the versioning of bucket %s: %w", s.bucket, err)
	}
	return versioning.Enabled(), nil
}
