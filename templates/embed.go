// Package templates holds what people see: the console's pages with their
// style, and the mails' templates.
package templates

import "embed"

// Files are the templates and the style, by file name. page.html frames the other
// pages.
//
//go:embed *.html *.txt *.css
var Files embed.FS
