package export

import (
	"encoding/json"
	"io"
	"strings"

	"callvault/internal/audit"

	"golang.org/x/mod/sumdb/tlog"
)

// checkSignature checks who signed the manifest, of which text is what should
// be signed, and the log's head in it.
func (c *checker) checkSignature(signature []byte, text string) bool {
	c.result.Fingerprint = audit.Fingerprint(c.about.Key)
	if c.options.Key != "" {
		c.result.SignerChecked = bare(c.options.Key) == c.result.Fingerprint
		if !c.result.SignerChecked {
			c.fault(FaultSigner, SignatureFile, "it is signed by the key %s, not by %s", c.result.Fingerprint, c.options.Key)
		}
	}
	signed, err := audit.Open(string(signature), c.about.Key)
	switch {
	case err != nil:
		c.fault(FaultSignature, SignatureFile, "the manifest's key did not sign it")
		return false
	case signed != text:
		c.fault(FaultSignature, SignatureFile, "it is the signature of another manifest: this one was changed")
		return false
	}
	seal, err := audit.OpenSeal(c.about.Head, c.about.Key)
	if err != nil {
		c.fault(FaultCustody, ManifestFile, "the audit log's head is not signed by the manifest's key")
		return false
	}
	c.head = seal.Head
	return true
}

// bare is a fingerprint without what people put between its digits.
func bare(fingerprint string) string {
	return strings.NewReplacer(" ", "", ":", "", "-", "").Replace(strings.ToLower(fingerprint))
}

// checkCustody checks that every entry is in the log whose head is signed, in
// the log's order, and that what it says of audio's hash is so.
func (c *checker) checkCustody(r io.Reader) {
	lines, n, last := newLines(untilDone(c.ctx, r)), 0, int64(-1)
	for {
		line, ok := lines.next()
		if !ok {
			break
		}
		n++
		var l custodyLine
		var e audit.Entry
		if json.Unmarshal(line, &l) != nil || json.Unmarshal(l.Entry, &e) != nil {
			c.fault(FaultCustody, CustodyFile, "line %d cannot be read", n)
			continue
		}
		if e.Seq <= last {
			c.fault(FaultCustody, CustodyFile, "line %d is out of the log's order", n)
		}
		last = e.Seq
		if !c.inLog(&l, e.Seq) {
			c.fault(FaultCustody, CustodyFile, "entry %d (%s %s) is not proved to be in the log", e.Seq, e.Action, e.Subject)
			continue
		}
		c.checkArchived(&e)
	}
	if err := lines.scanner.Err(); err != nil {
		c.fault(FaultCustody, CustodyFile, "it cannot be read to its end: %v", err)
	}
	if n != c.about.Counts.Custody {
		c.fault(FaultCustody, CustodyFile, "it has %d entries, and the manifest counts %d", n, c.about.Counts.Custody)
	}
}

// inLog checks an entry's proof.
func (c *checker) inLog(l *custodyLine, seq int64) bool {
	proof := make(tlog.RecordProof, len(l.Proof))
	for i, text := range l.Proof {
		h, err := tlog.ParseHash(text)
		if err != nil {
			return false
		}
		proof[i] = h
	}
	return seq >= 0 && seq < c.head.Size && tlog.CheckRecord(proof, c.head.Size, c.head.Hash, seq, tlog.RecordHash(l.Entry)) == nil
}

// checkArchived compares the hash that was logged when audio was archived with
// that of the bundle's.
func (c *checker) checkArchived(e *audit.Entry) {
	id, sum, ok := archivedAs(e)
	if !ok {
		return
	}
	here, ok := c.hashes[id]
	if !ok {
		return
	}
	c.proved[id] = struct{}{}
	if here != sum {
		c.fault(FaultCustody, CustodyFile, "entry %d says that recording %s was archived with SHA-256 %s, and the bundle's has %s", e.Seq, id, sum, here)
	}
}
