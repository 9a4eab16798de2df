package watch

import (
	"fmt"
	"time"

	"callvault/internal/call"
)

// The rule of what cannot be read: of the deliveries of the last unreadableSpan,
// if they are at least leastDeliveries, half. It is over when few are.
const (
	unreadableSpan  = time.Hour
	leastDeliveries = 10
	badShare        = 0.5
	goodShare       = 0.1
)

func judgeUnreadable(outcomes map[call.DeliveryOutcome]int64, now time.Time) verdict {
	unreadable, all := outcomes[call.Unreadable], int64(0)
	for _, n := range outcomes {
		all += n
	}
	switch share := float64(unreadable) / float64(max(all, 1)); {
	case all >= leastDeliveries && share >= badShare:
		return verdict{state: bad, since: now.Add(-unreadableSpan), sentence: fmt.Sprintf(
			"%d of the %d deliveries of the last hour could not be read. They are kept, and can be read again when they can be understood; "+
				"/api/v1/deliveries?outcome=unreadable says what is wrong with them.", unreadable, all)}
	case all >= leastDeliveries && share <= goodShare, all > 0 && unreadable == 0:
		return verdict{state: well, sentence: fmt.Sprintf("%d of the %d deliveries of the last hour could be read.", all-unreadable, all)}
	}
	return verdict{}
}

// judgePause tells of an account whose recordings wait for a person. It is over
// when the account was not paused at the look before either: every start ends
// all pauses, and finds out a moment later whether things were mended.
func judgePause(reason string, paused, unpaused bool, now time.Time) verdict {
	switch {
	case !paused && unpaused:
		return verdict{state: well, sentence: "Its recordings are being fetched again."}
	case !paused:
		return verdict{}
	}
	return verdict{state: bad, since: now, sentence: "No recording of this account is fetched: " + reason + "."}
}
