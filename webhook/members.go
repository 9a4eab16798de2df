package webhook

import "bytes"

// members are the fields of a JSON object, which must be valid; of duplicates
// the last wins. The values are parts of raw, not copies: this is what takes
// most of the time of decoding, and encoding/json needs several times as long.
func members(raw []byte) fields {
	f := make(fields, bytes.Count(raw, []byte(`":`))) // about as many
	for i := 1; ; {
		switch raw[i] {
		case '}':
			return f
		case '"':
		default:
			i++ // white space or comma
			continue
		}
		end := stringEnd(raw, i)
		name := unquote(raw[i:end])
		for i = end; raw[i] != ':'; {
			i++
		}
		for i++; isSpace(raw[i]); {
			i++
		}
		end = valueEnd(raw, i)
		f[name] = raw[i:end:end]
		i = end
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// stringEnd is where the string ends that begins at i.
func stringEnd(raw []byte, i int) int {
	for i++; raw[i] != '"'; i++ {
		if raw[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// valueEnd is where the value ends that begins at i.
func valueEnd(raw []byte, i int) int {
	for level := 0; ; {
		switch c := raw[i]; {
		case c == '"':
			i = stringEnd(raw, i)
		case c == '{' || c == '[':
			level++
			i++
		case c == '}' || c == ']':
			if level == 0 {
				return i // of the object around a number or a word
			}
			level--
			i++
		case level == 0 && (c == ',' || isSpace(c)):
			return i
		default:
			i++
			continue
		}
		if level == 0 {
			return i
		}
	}
}
