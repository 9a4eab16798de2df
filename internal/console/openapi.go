package console

import (
	_ "embed"
	"net/http"
)

// openAPI describes the whole API, as OpenAPI 3.1. A test holds it against the
// routes and against real answers.
//
//go:embed openapi.json
var openAPI []byte

func serveOpenAPI(w http.ResponseWriter, _ *http.Request) error {
	writeBody(w, http.StatusOK, openAPI)
	return nil
}
