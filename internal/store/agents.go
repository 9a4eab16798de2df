package store

import (
	"strings"

	"callvault/internal/call"
)

// oneOf says in SQL that what is one of the values; never, of none.
func (c *conditions) oneOf(what string, values []string) string {
	if len(values) == 0 {
		return "1 = 0"
	}
	for _, v := range values {
		c.args = append(c.args, v)
	}
	return what + " IN " + tuples(1, len(values))
}

// agents says in SQL that the agent of a call is one of a set, and adds the
// arguments; see call.AgentSet for the order of the three.
func (c *conditions) agents(s *call.AgentSet) string {
	const teleCMI = "provider = 'telecmi' AND "
	var b strings.Builder
	b.WriteString("(" + teleCMI + c.oneOf("agent_id", s.IDs))
	b.WriteString(" OR NOT (" + teleCMI + c.oneOf("agent_id", s.OtherIDs) + ")")
	b.WriteString(" AND (" + c.oneOf("agent_number", s.Numbers))
	b.WriteString(" OR NOT " + c.oneOf("agent_number", s.OtherNumbers))
	b.WriteString(" AND (" + c.oneOf("lower(agent_name)", s.Names))
	for account, numbers := range numbersOf(s.Members) {
		c.args = append(c.args, account)
		b.WriteString(" OR agent_name = '' AND account = ? AND " + c.oneOf("agent_number", numbers))
	}
	b.WriteString(")))")
	return b.String()
}

func numbersOf(members []call.Member) map[string][]string {
	numbers := map[string][]string{}
	for _, m := range members {
		numbers[m.Account] = append(numbers[m.Account], m.Number)
	}
	return numbers
}

// addAgent selects the calls of an agent by id, name or number, and those of a
// set.
func (c *conditions) addAgent(agent string, set *call.AgentSet) {
	var ways []string
	if agent != "" {
		folded := call.FoldName(agent)
		ways = append(ways, "lower(agent_id) = ? OR lower(agent_name) = ? OR agent_number = ?")
		c.args = append(c.args, folded, folded, agent)
	}
	if set != nil {
		ways = append(ways, c.agents(set))
	}
	if len(ways) > 0 {
		c.texts = append(c.texts, "("+strings.Join(ways, " OR ")+")")
	}
}

// addGroups selects the calls of groups, and those of no group whose agent is
// of a set.
func (c *conditions) addGroups(groups []string, set *call.AgentSet) {
	if len(groups) == 0 {
		return
	}
	text := c.oneOf("group_name", groups)
	if set != nil {
		text = "(" + text + " OR group_name = '' AND " + c.agents(set) + ")"
	}
	c.texts = append(c.texts, text)
}
