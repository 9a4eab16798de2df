package console_test

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/console"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/mux"
)

// description is the OpenAPI document, as a client gets it.
type description struct{ object }

func describe(t *testing.T, h *house) description {
	t.Helper()
	r := h.get(t, "/api/v1/openapi.json", "") // open to all
	if r.status != http.StatusOK || r.header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Fatalf("status %d, header %v", r.status, r.header)
	}
	return description{r.json(t)}
}

// resolve follows a reference within the document.
func (d description) resolve(t *testing.T, v map[string]any) map[string]any {
	t.Helper()
	ref, ok := v["$ref"].(string)
	if !ok {
		return v
	}
	at := any(d.object)
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		at = in[any](t, at, part)
	}
	return in[object](t, at)
}

// check holds a value against a schema, as far as this document uses schemas.
func (d description) check(t *testing.T, where string, schema map[string]any, v any) {
	t.Helper()
	schema = d.resolve(t, schema)
	types, ok := schema["type"].([]any)
	if !ok {
		types = []any{schema["type"]}
	}
	kind := jsonType(v)
	if kind == "integer" && slices.Contains(types, any("number")) {
		kind = "number"
	}
	if !slices.Contains(types, any(kind)) {
		t.Errorf("%s is %v, want %v", where, v, types)
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, v) {
		t.Errorf("%s is %v, none of %v", where, v, enum)
	}
	if s, ok := v.(string); ok && schema["format"] == "date-time" {
		if at, err := time.Parse(time.RFC3339, s); err != nil || at.Location() != time.UTC {
			t.Errorf("%s is %s, not RFC 3339 in UTC", where, s)
		}
	}
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			d.check(t, fmt.Sprintf("%s[%d]", where, i), in[object](t, schema, "items"), e)
		}
	case map[string]any:
		properties, ok := schema["properties"].(map[string]any)
		if !ok { // attributes: whatever providers send
			return
		}
		want := slices.Sorted(maps.Keys(properties))
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(v))); diff != "" {
			t.Errorf("fields of %s: %s", where, diff)
		}
		if required, ok := schema["required"].([]any); !ok || len(required) != len(properties) || schema["additionalProperties"] != false {
			t.Errorf("%s: not exactly its fields are required", where)
		}
		for name, property := range properties {
			d.check(t, where+"."+name, in[object](t, property), v[name])
		}
	}
}

func jsonType(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "object"
}

func TestDescriptionMatchesTheRoutes(t *testing.T) {
	t.Parallel()
	d := describe(t, newHouse(t))
	if d.object["openapi"] != "3.1.0" {
		t.Errorf("openapi is %v", d.object["openapi"])
	}
	var routes []string
	router := mux.NewRouter()
	console.New(console.Options{}).Routes(router)
	err := router.Walk(func(route *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := route.GetPathTemplate()
		if below, ok := strings.CutPrefix(path, "/api/v1/"); ok {
			routes = append(routes, "/"+below)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(routes)
	if diff := cmp.Diff(routes, slices.Sorted(maps.Keys(in[object](t, d.object, "paths")))); diff != "" {
		t.Error(diff)
	}
}

// Real answers, rich and poor, have exactly the fields that are described.
func TestDescriptionMatchesTheAnswers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := describe(t, h)
	for _, tt := range []struct{ path, described string }{
		{"/calls", "/calls"},
		{"/calls/call-1", "/calls/{id}"},
		{"/calls/call-2", "/calls/{id}"},
		{"/calls/call-3", "/calls/{id}"},
		{"/deliveries", "/deliveries"},
		{"/deliveries/7", "/deliveries/{id}"},
		{"/deliveries/8", "/deliveries/{id}"},
		{"/live", "/live"},
		{"/drift", "/drift"},
		{"/alerts", "/alerts"},
		{"/faults", "/faults"},
		{"/audit", "/audit"},
		{"/audit/head", "/audit/head"},
		{"/audit/proof?seq=0", "/audit/proof"},
		{"/audit/proof?older=1&size=2", "/audit/proof"},
		{"/audit/proof?size=3", "/audit/proof"},
		{"/holds", "/holds"},
		{"/erasures", "/erasures"},
		{"/erasures/erasure-1", "/erasures/{id}"},
		{"/erasures/none", "/erasures/{id}"},
		{"/holds/Case%207", "/holds/{name}"},
		{"/holds/none", "/holds/{name}"},
		{"/exports", "/exports"},
		{"/exports/export-1", "/exports/{id}"},
		{"/exports/export-2", "/exports/{id}"},
		{"/exports/none", "/exports/{id}"},
		{"/backfill", "/backfill"},
		{"/reconciliation?from=2023-01-01&to=2023-01-02", "/reconciliation"},
		{"/readiness", "/readiness"},
		{"/retention", "/retention"},
		{"/retention?by=2023-12-31", "/retention"},
		{"/storage", "/storage"},
		{"/recordings/rec-1/peaks", "/recordings/{id}/peaks"},
		{"/recordings/rec-2/peaks", "/recordings/{id}/peaks"},
		{"/recordings/rec-strange/peaks", "/recordings/{id}/peaks"},
		{"/recordings/rec-short/peaks", "/recordings/{id}/peaks"},
		{"/reports", "/reports"},
		{"/calls/none", "/calls/{id}"},
		{"/calls?x=1", "/calls"},
	} {
		for _, token := range []string{viewer, admin, ""} {
			r := h.get(t, "/api/v1"+tt.path, token)
			d.check(t, tt.path, d.response(t, tt.described, r.status), r.json(t))
		}
	}
}

// response is the schema of an answer to GET.
func (d description) response(t *testing.T, path string, status int) map[string]any {
	t.Helper()
	response := d.resolve(t, in[object](t, d.operation(t, path), "responses", strconv.Itoa(status)))
	return in[object](t, response, "content", "application/json", "schema")
}

func (d description) operation(t *testing.T, path string) object {
	t.Helper()
	return in[object](t, d.object, "paths", path, "get")
}

// Each described query parameter is taken, with each of its values, and none
// that is not described: the refusal of a wrong one names them all.
func TestDescriptionMatchesTheParameters(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := describe(t, h)
	samples := map[string]string{"from": "2026-11-21", "to": "2026-11-21T07:00:00Z", "cursor": "0", "by": "2026-11-21"}
	for path := range in[object](t, d.object, "paths") {
		if path == "/openapi.json" || in[object](t, d.object, "paths", path)["get"] == nil {
			continue
		}
		address := "/api/v1" + strings.NewReplacer("calls/{id}", "calls/call-1", "recordings/{id}", "recordings/rec-1",
			"deliveries/{id}", "deliveries/7", "exports/{id}", "exports/export-1", "erasures/{id}", "erasures/erasure-1", "{run}", "run-1", "holds/{name}", "holds/Case%207", "{name}", "daily%202023-01-02%20calls.csv").Replace(path)
		var described []string
		for _, p := range in[[]any](t, d.operation(t, path), "parameters") {
			p := d.resolve(t, in[object](t, p))
			if p["in"] != "query" {
				continue
			}
			name := in[string](t, p, "name")
			described = append(described, name)
			values := []any{samples[name]}
			if schema := in[object](t, p, "schema"); schema["enum"] != nil {
				values = in[[]any](t, schema, "enum")
			} else if schema["type"] == "integer" {
				values = []any{"1"}
			}
			for _, v := range values {
				if r := h.get(t, fmt.Sprintf("%s?%s=%v", address, name, v), admin); r.status != http.StatusOK {
					t.Errorf("%s: %s=%v: status %d: %s", path, name, v, r.status, r.body)
				}
			}
		}
		message := h.get(t, address+"?nonsense=1", admin).wantError(t, http.StatusBadRequest, call.Invalid)
		_, list, _ := strings.Cut(message, "(it takes ")
		takes := strings.Split(strings.TrimSuffix(list, ")"), ", ")
		if described == nil {
			described = []string{"none"}
		}
		if diff := cmp.Diff(slices.Sorted(slices.Values(described)), slices.Sorted(slices.Values(takes))); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}

// All words of the house are in the description.
func TestDescriptionKnowsTheWords(t *testing.T) {
	t.Parallel()
	d := describe(t, newHouse(t))
	words := func(schema, property string) []any {
		return in[[]any](t, d.object, "components", "schemas", schema, "properties", property, "enum")
	}
	for _, tt := range []struct{ described, want any }{
		{words("Call", "outcome"), append(anys(call.Outcomes()), nil)},
		{words("Recording", "state"), anys(call.RecordingStates())},
		{words("Delivery", "outcome"), anys(call.DeliveryOutcomes())},
		{words("Alert", "kind"), anys(call.AlertKinds())},
		{words("Drift", "change"), anys(call.Changes())},
		{words("Difference", "reason"), anys(call.Reasons())},
		{words("LiveCall", "state"), anys([]call.LiveState{call.Ringing, call.Talking, call.HungUp, call.LiveOther})},
	} {
		if !reflect.DeepEqual(tt.described, tt.want) {
			t.Errorf("described are %v, want %v", tt.described, tt.want)
		}
	}
}

func anys[T ~string](words []T) []any {
	list := make([]any, len(words))
	for i, w := range words {
		list[i] = string(w)
	}
	return list
}
