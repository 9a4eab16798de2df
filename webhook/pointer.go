package webhook

import (
	"encoding/json"
	"strconv"
	"strings"

	"callvault/internal/mapping"
)

// container is a JSON object or list.
type container struct {
	object fields
	list   []json.RawMessage
}

func open(raw json.RawMessage) (c container) {
	switch inner := jsonWithin(raw); {
	case len(inner) == 0:
	case inner[0] == '{':
		c.object = members(inner)
	default:
		if json.Unmarshal(inner, &c.list) != nil {
			c.list = nil // cannot happen: it is valid
		}
	}
	return c
}

// at is what stands under a token of a JSON pointer; nil if nothing does.
func (c container) at(token string) json.RawMessage {
	if c.list == nil {
		return c.object[token]
	}
	i, err := strconv.ParseUint(token, 10, 31)
	if err != nil || token != "0" && token[0] == '0' || i >= uint64(len(c.list)) {
		return nil
	}
	return c.list[i]
}

// reach follows a JSON pointer (RFC 6901), and on into the JSON text that a
// field may hold. nil if nothing stands there.
func (r *mappedReport) reach(p mapping.Path) json.RawMessage {
	tokens := p.Tokens()
	raw := r.fields[tokens[0]]
	for i := 1; i < len(tokens) && len(raw) > 0; i++ {
		way := strings.Join(tokens[:i], "\x00")
		c, known := r.opened[way]
		if !known {
			c = open(raw)
			if r.opened == nil {
				r.opened = make(map[string]container)
			}
			r.opened[way] = c
		}
		raw = c.at(tokens[i])
	}
	return raw
}

// reach follows a JSON pointer once.
func reach(f fields, p mapping.Path) json.RawMessage {
	tokens := p.Tokens()
	if len(tokens) == 0 || p.IsQuery() {
		return nil
	}
	raw := f[tokens[0]]
	for _, token := range tokens[1:] {
		raw = open(raw).at(token)
	}
	return raw
}

// jsonWithin is an object or list, or that which a text holds; nil for all else.
func jsonWithin(raw json.RawMessage) json.RawMessage {
	if len(raw) > 0 && raw[0] == '"' {
		text := strings.Trim(unquote(raw), " \t\r\n\ufeff")
		if !beginsLikeJSON(text) || depth([]byte(text)) > maxDepth || !json.Valid([]byte(text)) {
			return nil
		}
		return json.RawMessage(text)
	}
	if len(raw) > 0 && (raw[0] == '{' || raw[0] == '[') {
		return raw
	}
	return nil
}
