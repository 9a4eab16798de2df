package console

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// ClientAddress sets r.RemoteAddr to the client's address, for all that come
// after it: the sender's or, behind trusted proxies, the last hop of
// X-Forwarded-For that is not one of them. What a stranger says of hops
// before itself is not believed.
func ClientAddress(next http.Handler, trusted []netip.Prefix) http.Handler {
	if len(trusted) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sender := parseAddress(r.RemoteAddr)
		if at := clientAddress(sender, r.Header.Values("X-Forwarded-For"), trusted); at != sender {
			r.RemoteAddr = at.String()
		}
		next.ServeHTTP(w, r)
	})
}

func clientAddress(at netip.Addr, forwarded []string, trusted []netip.Prefix) netip.Addr {
	hops := strings.Split(strings.Join(forwarded, ","), ",")
	for _, hop := range slices.Backward(hops) {
		isProxy := at.IsValid() && slices.ContainsFunc(trusted, func(n netip.Prefix) bool { return n.Contains(at) })
		if !isProxy {
			break
		}
		next := parseAddress(strings.TrimSpace(hop))
		if !next.IsValid() {
			break // the nearest that is known
		}
		at = next
	}
	return at
}

func parseAddress(s string) netip.Addr {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}
