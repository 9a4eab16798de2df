package export

import (
	"archive/zip"
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// The kinds of faults of bundles, beside call.FaultMissing: a file of the
// manifest is not there. Where is a file in the bundle, empty for the bundle
// itself.
const (
	FaultZip       call.FaultKind = "zip"       // not a ZIP of this package's making
	FaultAdded     call.FaultKind = "added"     // a file that the manifest does not have
	FaultChanged   call.FaultKind = "changed"   // other bytes than the manifest says
	FaultManifest  call.FaultKind = "manifest"  // it cannot be read, or contradicts itself
	FaultSignature call.FaultKind = "signature" // nobody signed, or not over these bytes
	FaultSigner    call.FaultKind = "signer"    // somebody else signed
	FaultCustody   call.FaultKind = "custody"   // an entry is not in the log, or contradicts the audio
	FaultSums      call.FaultKind = "sums"      // SHA256SUMS does not say what the manifest says
)

// Bounds on what a bundle from a stranger can cost. Nothing in it is ever
// unpacked, so time and reading are bounded by its size.
const (
	maxFiles = 4 << 20
	// maxLine bounds a line of a manifest or of custody.jsonl, maxSignature a
	// signature, in bytes.
	maxLine      = 1 << 20
	maxSignature = 64 << 10
	// maxFaults are told, and the rest counted.
	maxFaults = 1000
)

// Checked is what a check has found.
type Checked struct {
	// Checked and OK count files.
	Checked int          `json:"checked"`
	OK      int          `json:"ok"`
	Faults  []call.Fault `json:"faults"`
	// MoreFaults are those beyond the first thousand.
	MoreFaults int `json:"more_faults,omitempty"`

	ID         string `json:"bundle,omitempty"`
	MadeAt     string `json:"made_at,omitempty"`
	By         string `json:"by,omitempty"`
	Reason     string `json:"reason,omitempty"`
	Calls      int    `json:"calls"`
	Recordings int    `json:"recordings"`
	Missing    int    `json:"missing"`
	Custody    int    `json:"custody"`
	// Unproved are recordings in it of which no entry of custody says that they
	// were archived: nothing but the signature speaks for them.
	Unproved    int    `json:"unproved"`
	Fingerprint string `json:"fingerprint,omitempty"`
	// SignerChecked says that the fingerprint is the one that was expected.
	SignerChecked bool `json:"signer_checked"`
}

// CheckOptions say how to check a bundle.
type CheckOptions struct {
	// Key is the fingerprint of the key that should have signed; empty: only
	// whether the bundle agrees with itself is checked.
	Key string
	// Progress hears how many of how many files are read.
	Progress func(done, total int)
}

// Check checks a bundle with nothing else at hand: that its files are those of
// its manifest, neither more nor less nor changed, that the manifest is signed,
// and that the entries of custody are in the log whose head is signed by the
// same key. What is wrong is in the result; an error says that it could not be
// checked at all.
func Check(ctx context.Context, name string, o CheckOptions) (result Checked, err error) {
	f, err := os.Open(name)
	if err != nil {
		return Checked{}, fmt.Errorf("check bundle: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return Checked{}, fmt.Errorf("check bundle: %w", err)
	}
	if !info.Mode().IsRegular() {
		return Checked{}, fmt.Errorf("check bundle: %s is not a file", name)
	}
	return CheckReader(ctx, f, info.Size(), o)
}

// CheckReader is Check for a bundle of size bytes, wherever it lies.
func CheckReader(ctx context.Context, r io.ReaderAt, size int64, o CheckOptions) (Checked, error) {
	c := &checker{options: o, ctx: ctx, at: r, size: size, hashes: map[string]string{}, proved: map[string]struct{}{}}
	c.result.Faults = []call.Fault{}
	if c.openZip() {
		c.checkManifest()
	}
	if err := ctx.Err(); err != nil {
		return c.result, fmt.Errorf("check bundle: %w", err)
	}
	if c.failed != nil {
		return c.result, fmt.Errorf("check bundle: %w", c.failed)
	}
	return c.result, nil
}

// checker checks one bundle.
type checker struct {
	options CheckOptions
	ctx     context.Context //nolint:containedctx // of this one check
	at      io.ReaderAt
	size    int64
	files   map[string]*zip.File // that the manifest has not named yet
	about   manifest
	// head is the audit log's, as the manifest's key signed it.
	head audit.Head
	// hashes of audio by the recording's id, and those of them that an entry of
	// custody speaks of.
	hashes map[string]string
	proved map[string]struct{}
	// failed is what kept the bundle from being read.
	failed error
	result Checked
}

func (c *checker) fault(kind call.FaultKind, where, format string, args ...any) {
	if len(c.result.Faults) == maxFaults {
		c.result.MoreFaults++
		return
	}
	c.result.Faults = append(c.result.Faults, call.Fault{Kind: kind, Where: printable(where), What: printable(fmt.Sprintf(format, args...))})
}

// printable bounds a text of a stranger's and takes out what a terminal would
// obey.
func printable(s string) string {
	const most = 400
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "…"
	}
	return s
}

// openZip reads the ZIP's list of files and refuses what is not as this
// package writes it: another program might see other files in it.
func (c *checker) openZip() bool {
	z, err := zip.NewReader(c.at, c.size)
	if err != nil {
		c.fault(FaultZip, "", "it is not a ZIP file, or not all of one: %v", err)
		return false
	}
	if len(z.File) > maxFiles {
		c.fault(FaultZip, "", "it has %d files, more than the %d that are looked at", len(z.File), maxFiles)
		return false
	}
	c.files = make(map[string]*zip.File, len(z.File))
	for _, f := range z.File {
		switch _, twice := c.files[f.Name]; {
		case twice:
			c.fault(FaultZip, f.Name, "there are two files of this name")
		case !safePath(f.Name):
			c.fault(FaultZip, f.Name, "no file of a bundle has such a name")
		case f.Method != zip.Store || f.CompressedSize64 != f.UncompressedSize64:
			c.fault(FaultZip, f.Name, "it is compressed, which no file of a bundle is: this is not the ZIP that was handed out")
		case f.Flags&1 != 0:
			c.fault(FaultZip, f.Name, "it is encrypted, which no file of a bundle is")
		case f.Comment != "" || !f.Mode().IsRegular():
			c.fault(FaultZip, f.Name, "it is no plain file")
		}
		c.files[f.Name] = f
	}
	if z.Comment != "" {
		c.fault(FaultZip, "", "the ZIP has a comment, which none of a bundle has")
	}
	if len(c.result.Faults) == 0 {
		c.checkLayout(z.File)
	}
	return len(c.result.Faults) == 0
}

// safePath allows what a bundle's files are called: below its folder, on every
// system.
func safePath(name string) bool {
	return name != "" && len(name) <= 300 && path.Clean(name) == name && !path.IsAbs(name) && name != "." && name != ".." &&
		!strings.HasPrefix(name, "../") && !strings.ContainsAny(name, "\\:*?\"<>|") && printable(name) == name
}

// checkLayout makes sure that the files lie one behind the other from the
// first byte, each under the name that the list at the end has: so a program
// that reads from the front sees what one sees that reads the list.
func (c *checker) checkLayout(files []*zip.File) {
	type placed struct {
		*zip.File
		begin int64
	}
	all := make([]placed, len(files))
	for i, f := range files {
		begin, err := f.DataOffset()
		if err != nil {
			c.fault(FaultZip, f.Name, "its place in the ZIP cannot be read: %v", err)
			return
		}
		all[i] = placed{f, begin}
	}
	slices.SortFunc(all, func(a, b placed) int { return cmp.Compare(a.begin, b.begin) })
	const local, descriptor, descriptor64 = 30, 16, 24
	end := int64(0)
	for _, f := range all {
		header := make([]byte, local+len(f.Name))
		gap := f.begin - int64(len(header)) - end
		// Behind the one before there may be its sizes, which a large file has.
		if gap != 0 && gap != descriptor && gap != descriptor64 || end == 0 && gap != 0 {
			c.fault(FaultZip, f.Name, "the ZIP has bytes in front of it that belong to no file")
			return
		}
		if _, err := c.at.ReadAt(header, end+gap); err != nil {
			c.failed = err
			return
		}
		if !bytes.HasPrefix(header, []byte("PK\x03\x04")) || string(header[local:]) != f.Name {
			c.fault(FaultZip, f.Name, "the ZIP has another name for it where it lies")
			return
		}
		end = f.begin + int64(f.CompressedSize64)
		if end < f.begin || end > c.size {
			c.fault(FaultZip, f.Name, "it reaches beyond the end of the ZIP")
			return
		}
	}
}

// wrongCRC is said of a file that is sound, and that other programs will not
// unpack.
const wrongCRC = "the ZIP has another checksum for it than its bytes have: other programs will call it damaged"

// open takes a file out of those that nobody has named yet, with the checksum
// that the ZIP has for it.
func (c *checker) open(name string) (content *io.SectionReader, crc uint32, ok bool) {
	f, ok := c.files[name]
	if !ok {
		c.fault(call.FaultMissing, name, "it is not in the bundle")
		return nil, 0, false
	}
	delete(c.files, name)
	begin, err := f.DataOffset()
	if err != nil {
		c.fault(FaultZip, name, "it cannot be read: %v", err)
		return nil, 0, false
	}
	// Not through zip.File.Open, which would speak of CRCs where SHA-256 says
	// more.
	return io.NewSectionReader(c.at, begin, int64(f.CompressedSize64)), f.CRC32, true
}

// checkManifest checks the signature first and then all that is signed.
func (c *checker) checkManifest() {
	c.result.Checked += 2
	text, crc, ok := c.open(SignatureFile)
	if !ok {
		return
	}
	signature, err := io.ReadAll(io.LimitReader(text, maxSignature+1))
	if err != nil || len(signature) > maxSignature {
		c.fault(FaultSignature, SignatureFile, "it cannot be a signature")
		return
	}
	if crc32.ChecksumIEEE(signature) != crc {
		c.fault(FaultZip, SignatureFile, wrongCRC)
	}
	section, crc, ok := c.open(ManifestFile)
	if !ok {
		return
	}
	sum := newDigest()
	size, err := io.Copy(sum, untilDone(c.ctx, section))
	if err != nil {
		c.failed = err
		return
	}
	found := sum.hex()
	if sum.crc.Sum32() != crc {
		c.fault(FaultZip, ManifestFile, wrongCRC)
	}
	if _, err := section.Seek(0, io.SeekStart); err != nil {
		c.failed = err
		return
	}
	lines := newLines(section)
	if !c.readHead(lines) || !c.checkSignature(signature, signedText(found, size)) {
		return
	}
	c.result.OK += 2
	total := len(c.files)
	sums := sha256.New()
	var listed int
	more := lines.list(manifestFiles, func(line []byte) bool {
		var f file
		if err := json.Unmarshal(line, &f); err != nil {
			c.fault(FaultManifest, ManifestFile, "a file's line cannot be read: %v", err)
			return false
		}
		c.checkFile(&f, sums)
		if listed++; c.options.Progress != nil {
			c.options.Progress(listed, total)
		}
		return c.ctx.Err() == nil && c.failed == nil
	})
	lacks := 0
	more = more && lines.list(manifestLacks, func([]byte) bool { lacks++; return true })
	if c.ctx.Err() != nil || c.failed != nil {
		return
	}
	if !more || !lines.ends() {
		c.fault(FaultManifest, ManifestFile, "it is not as manifests are written")
		return
	}
	if lacks != c.about.Counts.Missing {
		c.fault(FaultManifest, ManifestFile, "it lists %d missing, and counts %d", lacks, c.about.Counts.Missing)
	}
	c.result.Unproved = len(c.hashes) - len(c.proved)
	for name := range c.files {
		c.fault(FaultAdded, name, "the manifest does not have it")
	}
}

func (c *checker) readHead(lines *lineReader) bool {
	line, ok := lines.next()
	text, opens := strings.CutPrefix(string(line), manifestOpens)
	if !ok || !opens || json.Unmarshal([]byte(strings.TrimSuffix(text, ",")), &c.about) != nil {
		c.fault(FaultManifest, ManifestFile, "it is not as manifests are written")
		return false
	}
	if c.about.Format != Format {
		c.fault(FaultManifest, ManifestFile, "its format is %q, and this version checks %q", c.about.Format, Format)
		return false
	}
	c.result.ID, c.result.MadeAt, c.result.Reason = printable(c.about.ID), c.about.MadeAt.Format("2006-01-02T15:04:05Z07:00"), printable(c.about.Reason)
	c.result.By = printable(strings.TrimSpace(c.about.By.Kind + " " + c.about.By.Name))
	n := c.about.Counts
	c.result.Calls, c.result.Recordings, c.result.Missing, c.result.Custody = n.Calls, n.Recordings, n.Missing, n.Custody
	return true
}

// checkFile compares a file with the manifest's line about it. sums is what
// SHA256SUMS should hold so far.
func (c *checker) checkFile(f *file, sums hash.Hash) {
	c.result.Checked++
	content, crc, ok := c.open(f.Path)
	if !ok {
		return
	}
	before := len(c.result.Faults) + c.result.MoreFaults
	sum := newDigest()
	n, err := io.Copy(sum, untilDone(c.ctx, content))
	if err != nil {
		c.failed = err
		return
	}
	switch found := sum.hex(); {
	case n != f.Size:
		c.fault(FaultChanged, f.Path, "it has %d bytes, and the manifest says %d", n, f.Size)
	case found != f.SHA256:
		c.fault(FaultChanged, f.Path, "its SHA-256 is %s, and the manifest says %s", found, f.SHA256)
	case sum.crc.Sum32() != crc:
		c.fault(FaultZip, f.Path, wrongCRC)
	case f.Path == CustodyFile:
		if _, err := content.Seek(0, io.SeekStart); err != nil {
			c.failed = err
			return
		}
		c.checkCustody(content)
	case f.Path == SumsFile && f.SHA256 != hex.EncodeToString(sums.Sum(nil)):
		c.fault(FaultSums, f.Path, "it does not say what the manifest says")
	}
	if f.Recording != "" && f.Archived == "" {
		c.hashes[f.Recording] = f.SHA256
	}
	_, _ = fmt.Fprintf(sums, "%s  %s\n", f.SHA256, f.Path) // hashes never fail
	if len(c.result.Faults)+c.result.MoreFaults == before {
		c.result.OK++
	}
}

// untilDone is r until ctx ends.
func untilDone(ctx context.Context, r io.Reader) io.Reader { return &doneReader{ctx, r} }

type doneReader struct {
	ctx context.Context //nolint:containedctx // of the one copy that it is made for
	r   io.Reader
}

func (d *doneReader) Read(p []byte) (int, error) {
	if err := d.ctx.Err(); err != nil {
		return 0, err
	}
	return d.r.Read(p)
}

// lineReader reads lines of bounded length.
type lineReader struct{ scanner *bufio.Scanner }

func newLines(r io.Reader) *lineReader {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), maxLine)
	return &lineReader{s}
}

func (l *lineReader) next() ([]byte, bool) {
	ok := l.scanner.Scan()
	return l.scanner.Bytes(), ok
}

// list reads a list of a manifest, from the line that opens it to that which
// closes it, and says whether it is one.
func (l *lineReader) list(opens string, do func(line []byte) bool) bool {
	if line, ok := l.next(); !ok || string(line) != opens {
		return false
	}
	for more := true; more; {
		line, ok := l.next()
		if !ok {
			return false
		}
		if len(line) == 0 { // an empty list
			break
		}
		line, more = bytes.CutSuffix(line, []byte(","))
		if !do(line) {
			return false
		}
	}
	if opens == manifestLacks {
		return true // ends reads what closes it
	}
	line, ok := l.next()
	return ok && string(line) == "],"
}

// ends reads the last line.
func (l *lineReader) ends() bool {
	line, ok := l.next()
	last := ok && string(line) == manifestCloses
	_, more := l.next()
	return last && !more && l.scanner.Err() == nil
}
