// Package webhook receives: it takes call reports from telephony providers,
// makes legs and live calls of them, and answers only when they are stored.
//
// Providers may never send a report again. So what cannot be decoded is kept
// all the same, and what the database cannot take goes to a spool on disk.
package webhook

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/mux"
	"golang.org/x/time/rate"

	"callvault/internal/call"
)

const (
	// maxWait is how long a delivery over its account's rate waits before it
	// is turned away.
	maxWait = 5 * time.Second
	// retryAfter is what a client is told when nothing can be stored.
	retryAfter = 30 * time.Second
)

// Store keeps deliveries and what they tell.
type Store interface {
	// Record stores the whole batch or, on error, nothing of it. A delivery
	// whose UID is stored already changes nothing. An error with the code
	// call.Unavailable says that the database cannot be written just now, and
	// that it is not the batch's fault. An empty batch shows whether the
	// database can be written.
	Record(ctx context.Context, batch []*call.Delivery) error
}

// Options is what a Receiver needs. All but Hooks are
// required.
type Options struct {
	Accounts []Account
	Store    Store
	// Batches is how many batches the store is given at a time; default 1, for
	// a store with one writer.
	Batches int
	// Spool is the folder for deliveries that the database could not take; it
	// is made if it does not exist. No other process may use it.
	Spool  string
	Now    func() time.Time
	Logger *slog.Logger
	Hooks  Hooks
}

// Receiver answers webhooks.
type Receiver struct {
	decoder *Decoder
	ingest  *ingest
	spool   *spool
	sources map[string]*source
	now     func() time.Time
	logger  *slog.Logger
	hooks   Hooks
	// bodyTime is the constant, but for tests.
	bodyTime time.Duration
}

// source guards one account.
type source struct {
	*account
	secrets secrets
	// signature is nil for an account whose deliveries are not signed.
	signature *signature
	limiter   *rate.Limiter
	// warned holds for each refusal when it was last told in the log.
	warned map[refused]*rate.Sometimes
}

// refused is why a delivery that knew the token was not taken.
type refused string

const (
	refusedAddress   refused = "address"
	refusedRate      refused = "rate"
	refusedSignature refused = "signature"
	refusedSize      refused = "size"
	refusedSlow      refused = "slow"
	refusedBroken    refused = "broken"
)

// warnEvery keeps a flood out of the log, and no kind of refusal hides another.
const warnEvery = 10 * time.Second

func newWarned() map[refused]*rate.Sometimes {
	warned := map[refused]*rate.Sometimes{}
	for _, why := range []refused{refusedAddress, refusedRate, refusedSignature, refusedSize, refusedSlow, refusedBroken} {
		warned[why] = &rate.Sometimes{First: 1, Interval: warnEvery}
	}
	return warned
}

func (s *source) warn(why refused, say func()) { s.warned[why].Do(say) }

// New makes a Receiver. It starts nothing; Run does.
func New(o Options) (*Receiver, error) {
	decoder, err := NewDecoder(o.Accounts, o.Hooks)
	if err != nil {
		return nil, err
	}
	r := &Receiver{
		decoder: decoder,
		sources: make(map[string]*source, len(o.Accounts)),
		now:     o.Now,
		logger:  o.Logger,
		hooks:   o.Hooks,

		bodyTime: bodyTime,
	}
	for name, a := range decoder.accounts {
		s := &source{account: a, signature: newSignature(&a.Account), limiter: rate.NewLimiter(rate.Inf, 0),
			warned: newWarned()}
		if s.secrets, err = newSecrets(&a.Account); err != nil {
			return nil, err
		}
		if a.Rate > 0 {
			burst := a.Burst
			if burst == 0 {
				burst = a.Rate
			}
			s.limiter = rate.NewLimiter(rate.Limit(a.Rate), burst)
		}
		r.sources[name] = s
	}
	if r.spool, err = openSpool(o.Spool, o.Logger); err != nil {
		return nil, err
	}
	r.ingest = &ingest{store: o.Store, spool: r.spool, now: o.Now, logger: o.Logger, lanes: o.Batches}
	return r, nil
}

// Run drains the spool into the store until ctx ends.
func (r *Receiver) Run(ctx context.Context) {
	r.spool.run(ctx, func(ctx context.Context, batch []*call.Delivery) error {
		for _, d := range batch {
			r.decoder.Decode(d)
			d.MayBeStored = true
		}
		if _, err := record(ctx, r.ingest.store, r.logger, batch, patient); err != nil {
			return err
		}
		r.ingest.works()
		return nil
	})
}

// Close closes the spool. Call it when no requests come any more and Run has
// ended.
func (r *Receiver) Close() error { return r.spool.close() }

// Busy reports whether so many deliveries come in that what can wait should:
// a provider may never send one again.
func (r *Receiver) Busy() bool { return r.ingest.busy() }

// Spooled is how many bytes of deliveries wait on disk for the database.
func (r *Receiver) Spooled() (bytes int64, err error) { return r.spool.size() }

// Decoder is the one by which the Receiver reads deliveries.
func (r *Receiver) Decoder() *Decoder { return r.decoder }

// Handler answers the webhook's address. A sender's address is RemoteAddr:
// whoever believes a proxy sets that first.
func (r *Receiver) Handler() http.Handler {
	router := mux.NewRouter()
	r.Routes(router)
	return router
}

// Routes adds the webhook's address to a router.
func (r *Receiver) Routes(router *mux.Router) {
	router.HandleFunc("/webhook/{account}/{token}", r.serve)
}

// answer is how a request ends.
type answer struct {
	status int
	text   string
	// after is the time in Retry-After, if any.
	after time.Duration
	// sent: it is on its way already.
	sent bool
}

func (r *Receiver) serve(w http.ResponseWriter, req *http.Request) {
	vars := mux.Vars(req)
	name := vars["account"]
	src := r.sources[name]
	// A stranger must not learn which accounts exist, so both ways compare.
	known := src != nil
	if !known {
		src, name = &source{}, ""
	}
	if !src.secrets.match(vars["token"]) || !known {
		// Like any address that does not exist.
		r.reply(w, "", answer{status: http.StatusNotFound, text: "404 page not found"})
		return
	}
	r.reply(w, name, r.receive(w, req, src))
}

func (r *Receiver) reply(w http.ResponseWriter, account string, a answer) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	if a.after > 0 {
		h.Set("Retry-After", strconv.Itoa(int((a.after+time.Second-1)/time.Second)))
	}
	if !a.sent {
		w.WriteHeader(a.status)
		if _, err := io.WriteString(w, a.text+"\n"); err != nil {
			r.logger.Debug("client did not wait for the answer", "account", account, "error", err)
		}
	}
	if r.hooks.Answered != nil {
		r.hooks.Answered(account, a.status)
	}
}

// receive takes a request that knows the account's token.
func (r *Receiver) receive(w http.ResponseWriter, req *http.Request, src *source) answer {
	if req.Method != http.MethodPost && req.Method != http.MethodGet {
		w.Header().Set("Allow", "GET, POST")
		return answer{status: http.StatusMethodNotAllowed, text: "method not allowed"}
	}
	from := parseAddress(req.RemoteAddr)
	if !allowed(src.AllowFrom, from) {
		src.warn(refusedAddress, func() {
			r.logger.Warn("delivery from an address that is not allowed",
				"account", src.Name, "remote_address", from)
		})
		return answer{status: http.StatusForbidden, text: "forbidden"}
	}
	if wait, ok := r.await(req.Context(), src.limiter); !ok {
		src.warn(refusedRate, func() {
			r.logger.Warn("deliveries over the rate", "account", src.Name, "retry_after", wait)
		})
		return answer{status: http.StatusTooManyRequests, text: "too many deliveries", after: wait}
	}
	sent, body, refusal := r.readBody(w, req, src)
	if body == nil {
		return refusal
	}
	if src.signature != nil {
		if err := src.signature.verify(req, sent, body, r.now()); err != nil {
			src.warn(refusedSignature, func() {
				r.logger.Warn("delivery whose signature does not hold",
					"account", src.Name, "remote_address", from, "reason", err)
			})
			return answer{status: http.StatusForbidden, text: "forbidden"}
		}
	}
	uid, err := uuid.NewV7()
	if err != nil {
		r.logger.Error("no id for a delivery", "error", err)
		return answer{status: http.StatusServiceUnavailable, text: "unavailable", after: retryAfter}
	}
	d := &call.Delivery{
		UID:         uid.String(),
		Account:     src.Name,
		ReceivedAt:  r.now().UTC().Truncate(time.Millisecond),
		Method:      req.Method,
		ContentType: storable(req.Header.Get("Content-Type")),
		Query:       escapeInvalid(req.URL.RawQuery),
		Body:        body,
		Source:      call.SourceWebhook,
	}
	if from.IsValid() {
		d.RemoteAddress = from.String()
	}
	r.decoder.Decode(d)
	d.Prepare()
	if err := r.ingest.take(req.Context(), d); err != nil {
		// The causes are logged where they were found.
		return answer{status: http.StatusServiceUnavailable, text: "unavailable", after: retryAfter}
	}
	return answer{status: http.StatusOK, text: "ok"}
}

// await waits for the account's rate to allow one more. If that takes too
// long, it returns how long.
func (r *Receiver) await(ctx context.Context, limiter *rate.Limiter) (time.Duration, bool) {
	now := r.now()
	reservation := limiter.ReserveN(now, 1)
	delay := reservation.DelayFrom(now)
	if delay == 0 {
		return 0, true
	}
	if delay > maxWait {
		reservation.CancelAt(now)
		return delay, false
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return 0, true
	case <-ctx.Done():
		reservation.CancelAt(r.now())
		return delay, false
	}
}

// String keeps tokens out of logs.
func (a Account) String() string { return fmt.Sprintf("account %s (%s)", a.Name, a.Provider) }

// GoString keeps tokens out of logs.
func (a Account) GoString() string { return a.String() }
