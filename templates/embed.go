// Package templates holds what people see: the mails' templates.
package templates

import "embed"

// Files are the templates, by file name.
//
//go:embed mail.html mail.txt
var Files embed.FS
