package console

import "time"

// Hasten makes streams look and beat as often as a test wants it, and gives
// clients only so long to take what they are sent.
func (c *Console) Hasten(look, beat, take time.Duration) {
	c.feed.every, c.pace = look, pace{beat, take}
}

// Listeners is how many streams there are, and bounds how many there may be.
func (c *Console) Listeners(most int) int {
	c.feed.mu.Lock()
	defer c.feed.mu.Unlock()
	c.feed.most = most
	return c.feed.listeners
}
