// Package console is how people and programs look and listen: pages for those
// who log in, the JSON API under /api/v1 for those who show a bearer token, with
// the same roles, and what operators and their tools ask for: /metrics, /healthz
// and /readyz.
package console

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
)

// Store is what the API asks of the database. Errors that a caller may see are
// *call.Error; all others are answered as internal.
type Store interface {
	FindCalls(ctx context.Context, f call.Filter) ([]call.CallWithRecordings, string, error)
	Call(ctx context.Context, id string) (call.CallDetail, error)
	LiveCalls(ctx context.Context, maxAge time.Duration) ([]call.LiveCall, error)
	FindDeliveries(ctx context.Context, f call.DeliveryFilter) ([]call.Delivery, string, error)
	Delivery(ctx context.Context, id int64) (call.Delivery, error)
	FindAlerts(ctx context.Context, f call.AlertFilter) ([]call.Alert, string, error)
	FindFaults(ctx context.Context, f call.FaultFilter) ([]call.FoundFault, string, error)
	FindDrift(ctx context.Context, f call.DriftFilter) ([]call.Drift, string, error)
	AccessStore
	RecordingStore
	BackfillStore
	RunStore
	KeepStore
	ExportStore
	AuditStore
}

// BackfillStore is what the API asks about the providers' call lists.
type BackfillStore interface {
	Backfills(ctx context.Context) (map[string]call.BackfillState, error)
	Reconcile(ctx context.Context, f call.ReconciliationFilter) (call.Reconciliation, error)
}

// RecordingStore is what the API asks about recordings alone.
type RecordingStore interface {
	Recording(ctx context.Context, id string) (call.Recording, error)
	Analysis(ctx context.Context, recordingID string) (call.Analysis, error)
	Readiness(ctx context.Context) ([]call.Readiness, error)
}

// Vault gives what lies in the vault.
type Vault interface {
	// Open reads the object from offset on: length bytes, or to its end if
	// length is -1. It fails when there is no such object, not only the first
	// Read of what it returns.
	Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)
}

// Options are what a Console is made of. Store to Now, and
// Retainer, are required.
type Options struct {
	Store    Store
	Vault    Vault
	Registry prometheus.Gatherer
	// Ready asks each part that must answer before requests can be served
	// (database, vault, queue) and returns by its name why it does not; nil for
	// one that does.
	Ready func(ctx context.Context) map[string]error
	// Notices, if set, says by name what keeps no part from answering and needs
	// a person all the same; anybody may read it.
	Notices func() map[string]string
	Logger  *slog.Logger
	Now     func() time.Time
	// Strangers counts refusals for the audit log, those of others, too. Default
	// one of the Console's own.
	Strangers *audit.Strangers
	// Zone is where the day of a date without a time lies. Default UTC.
	Zone    *time.Location
	Version string
	// Accounts are those of the configuration.
	Accounts []Account
	// PublicURL is where browsers reach the pages, as the configuration has it;
	// empty: they know.
	PublicURL string
	// ReportGroups are the groups of whose calls alone a report has ever told, by
	// its name. All other reports are about calls of all groups.
	ReportGroups map[string][]string
	// TwoPerson: releasing a hold needs two people.
	TwoPerson bool
	// Locks: the vault keeps legal holds itself.
	Locks    bool
	Retainer Retainer
	// ExportChanged, if set, is called when an export was asked for or removed.
	ExportChanged func()
}

// Console answers the JSON API and the operators' questions.
type Console struct {
	store    Store
	vault    Vault
	retainer Retainer
	registry prometheus.Gatherer
	ready    func(ctx context.Context) map[string]error
	notices  func() map[string]string
	logger   *slog.Logger
	now      func() time.Time
	zone     *time.Location
	version  string
	accounts []Account
	// reportGroups are Options.ReportGroups.
	reportGroups map[string][]string
	// twoPerson and locks are those of Options.
	twoPerson, locks bool
	// exportChanged is never nil.
	exportChanged func()

	// strikes are wrong tokens of the API.
	strikes *strikes[netip.Prefix]

	logins *logins
	// crossOrigin tells forms of other sites; secure: sessions go by TLS alone, to
	// publicURL.
	crossOrigin *http.CrossOriginProtection
	publicURL   string
	secure      bool
	// warnOfProxy keeps to one warning of a proxy that nobody told of.
	warnOfProxy sync.Once

	// strangers and looks go into the audit log.
	strangers *audit.Strangers
	looks     *looks

	feed *feed
	pace pace
}

// New makes a Console.
func New(o Options) *Console {
	c := &Console{
		store:    o.Store,
		vault:    o.Vault,
		retainer: o.Retainer,
		registry: o.Registry,
		ready:    o.Ready,
		notices:  o.Notices,
		logger:   o.Logger,
		now:      o.Now,
		zone:     cmp.Or(o.Zone, time.UTC),
		version:  o.Version,
		accounts: o.Accounts,

		twoPerson: o.TwoPerson,
		locks:     o.Locks,

		exportChanged: o.ExportChanged,

		reportGroups: o.ReportGroups,

		strikes: newStrikes[netip.Prefix](strikesAtOnce, strikeEvery),

		logins:    newLogins(),
		publicURL: o.PublicURL,
		secure:    strings.HasPrefix(o.PublicURL, "https://"),
		strangers: cmp.Or(o.Strangers, new(audit.Strangers)),
		looks:     &looks{store: o.Store, listenings: map[listening]*span{}},
		pace:      pace{beatEvery, takeWithin},
	}
	if c.exportChanged == nil {
		c.exportChanged = func() {}
	}
	var err error
	if c.crossOrigin, err = protection(o.PublicURL); err != nil {
		o.Logger.Error("nobody behind a proxy that gives another host can log in", "error", err)
	}
	c.feed = newFeed(c.liveCalls, o.Logger)
	return c
}

// EndStreams ends the streams that clients listen to, which would not end by
// themselves, and lets none begin. Call it when the server is to end.
func (c *Console) EndStreams() { c.feed.close() }

// apiRoot is where the API begins; its version changes only if names that
// programs hold on to do.
const apiRoot = "/api/v1"

// Handler answers all that the Console knows.
func (c *Console) Handler() http.Handler {
	router := mux.NewRouter()
	c.Routes(router)
	return router
}

// Routes adds what the Console answers to r. Everything below /api that is
// nothing answers with the API's own 404.
func (c *Console) Routes(r *mux.Router) {
	api := r.PathPrefix(apiRoot).Subrouter()
	api.Handle("/openapi.json", c.open(serveOpenAPI))
	by := map[string]methods{}
	for method, endpoints := range map[string]map[string]endpoint{
		http.MethodGet: c.endpoints(), http.MethodPost: c.posts(), http.MethodDelete: c.deletes(),
	} {
		for path, h := range endpoints {
			if by[path] == nil {
				by[path] = methods{}
			}
			by[path][method] = h
		}
	}
	for path, m := range by {
		api.Handle(path, c.withToken(m))
	}
	r.PathPrefix("/api/").Handler(c.open(notFound))

	for path, h := range c.pages() {
		r.Handle(path, c.withSession(h))
	}
	r.Handle(loginPath, c.form(c.login))
	r.Handle(logoutPath, c.form(c.logout))
	r.Handle(stylePath, c.open(serveStyle))
	r.Handle("/", c.open(c.home))
	r.NotFoundHandler = c.form(noPage)
	r.Handle(metricsPath, c.open(c.metrics))
	r.Handle(healthzPath, c.open(healthz))
	r.Handle(readyzPath, c.open(c.readyz))
}

// endpoint answers one question of the API for one who has shown a token.
type endpoint func(w http.ResponseWriter, r *http.Request, who call.Token) error

func (c *Console) endpoints() map[string]endpoint {
	return map[string]endpoint{
		"/calls":                      c.findCalls,
		"/calls/{id}":                 c.call,
		"/recordings/{id}/audio":      c.audio,
		"/recordings/{id}/peaks":      c.peaks,
		"/deliveries":                 c.findDeliveries,
		"/deliveries/{id}":            c.delivery,
		"/live":                       c.live,
		"/live/events":                c.liveEvents,
		"/alerts":                     c.alerts,
		"/faults":                     c.faults,
		"/drift":                      c.drift,
		"/backfill":                   c.backfills,
		"/reconciliation":             c.reconciliation,
		"/readiness":                  c.readiness,
		"/retention":                  c.retention,
		"/storage":                    c.storage,
		"/reports":                    c.findRuns,
		"/reports/{run}/files/{name}": c.runFile,
		"/exports":                    c.findExports,
		"/exports/{id}":               c.export,
		"/exports/{id}/file":          c.exportFile,
		"/audit":                      c.findAudit,
		"/audit/head":                 c.auditHead,
		"/audit/proof":                c.auditProof,
		"/holds":                      c.findHolds,
		"/holds/{name}":               c.hold,
		"/erasures":                   c.findErasures,
		"/erasures/{id}":              c.erasure,
	}
}

// pages are what people see. Files and audio are those of the API, by the same
// rules.
func (c *Console) pages() map[string]endpoint {
	return map[string]endpoint{
		"/calls/{id}":                 c.callPage,
		"/recordings/{id}/audio":      c.audio,
		"/reports":                    c.reportsPage,
		"/reports/{run}/files/{name}": c.runFile,
	}
}

// posts are what changes something.
func (c *Console) posts() map[string]endpoint {
	return map[string]endpoint{
		"/exports":              c.addExport,
		"/erasures":             c.beginErasure,
		"/holds":                c.placeHold,
		"/holds/{name}/release": c.releaseHold,
	}
}

// deletes are what takes something away.
func (c *Console) deletes() map[string]endpoint {
	return map[string]endpoint{"/exports/{id}": c.removeExport}
}

// open wraps what everybody may ask, and nobody change.
func (c *Console) open(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return c.form(func(w http.ResponseWriter, r *http.Request) error {
		if err := readOnly(w, r); err != nil {
			return err
		}
		return h(w, r)
	})
}

// form wraps what everybody may ask, and decides itself on the method.
func (c *Console) form(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			c.fail(w, r, err)
		}
	})
}

// methods are what one address answers; GET answers HEAD, too.
type methods map[string]endpoint

// allowed lists them for people and programs.
func (m methods) allowed() string {
	names := slices.Collect(maps.Keys(m))
	if m[http.MethodGet] != nil {
		names = append(names, http.MethodHead)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// withToken wraps what only the owner of a token may ask or do.
func (c *Console) withToken(m methods) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := c.answer(w, r, m); err != nil {
			c.fail(w, r, err)
		}
	})
}

func (c *Console) answer(w http.ResponseWriter, r *http.Request, m methods) error {
	h := m[r.Method]
	if r.Method == http.MethodHead {
		h = m[http.MethodGet]
	}
	if h == nil {
		w.Header().Set("Allow", m.allowed())
		return errMethod
	}
	who, err := c.authenticate(w, r)
	if err != nil {
		return err
	}
	if r, err = asked(r, actorOf(r, audit.KindToken, who.Name)); err != nil {
		return err
	}
	return c.refused(r, h(w, r, who))
}

func notFound(http.ResponseWriter, *http.Request) error {
	return call.Errorf(call.NotFound, "there is nothing at this address; %s/openapi.json lists what there is", apiRoot)
}
