package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// Certificate says what an erasure has come to so far. It does not hold the
// number.
type Certificate struct {
	Erasure    string    `json:"erasure"`
	NumberHash string    `json:"number_hash"`
	Reason     string    `json:"reason"`
	AskedAt    time.Time `json:"asked_at"`
	AskedBy    string    `json:"asked_by"`
	At         time.Time `json:"at"`
	// Erased counts what is gone by its kind.
	Erased map[call.ErasureKind]int64 `json:"erased"`
	// Kept is what is not, and Complete says that there is nothing of it but
	// what Remains names.
	Kept     []KeptItem `json:"kept"`
	Complete bool       `json:"complete"`
	Remains  []string   `json:"remains"`
	// FoundLater says when calls turned out to be one with erased ones after a
	// certificate had said that all was gone.
	FoundLater []FoundLater `json:"found_later"`
	// AuditHead is the audit log's signed head as it was then.
	AuditHead string `json:"audit_head"`
}

// FoundLater are calls that a certificate did not know of.
type FoundLater struct {
	At time.Time `json:"at"`
	// Calls are the ids of the calls that they are parts of.
	Calls []string `json:"calls"`
	// Certificate is the one that had said that all was gone.
	Certificate string `json:"certificate"`
}

// KeptItem is what an erasure could not erase yet.
type KeptItem struct {
	Kind call.ErasureKind `json:"kind"`
	Ref  string           `json:"ref"`
	// Until is when it goes by itself; nil: as soon as what keeps it ends.
	Until *time.Time `json:"until"`
	Why   string     `json:"why"`
}

// remains is what no erasure touches.
func remains() []string {
	return []string{
		"the audit log, which is never changed, as far as somebody searched for the number or named it in a reason or a hold",
		"mails that were sent, exports that were handed out, backups and copies outside of Callvault",
	}
}

// certify puts a certificate into the vault, as JSON and as text, and returns
// its key and what the audit log says of it.
func (r *round) certify(ctx context.Context) (key string, facts any, err error) {
	c := Certificate{
		Erasure: r.erasure.ID, NumberHash: r.erasure.NumberHash, Reason: r.erasure.Reason, AskedAt: r.erasure.AskedAt, AskedBy: r.erasure.AskedBy,
		At: r.o.Now().UTC().Truncate(time.Second), Erased: map[call.ErasureKind]int64{}, Kept: []KeptItem{}, Remains: remains(), FoundLater: []FoundLater{},
	}
	counts, err := r.o.Store.CountErasureItems(ctx, r.erasure.ID)
	if err != nil {
		return "", nil, err
	}
	for _, kind := range call.ErasureKinds() {
		c.Erased[kind] = counts[kind][call.ErasureDone]
		after := ""
		for more := true; more; {
			items, err := r.o.Store.ErasureItems(ctx, r.erasure.ID, kind, after, call.MaxLimit, call.ErasureDue, call.ErasureKept)
			if err != nil {
				return "", nil, err
			}
			for _, i := range items {
				after = i.Ref
				k := KeptItem{Kind: i.Kind, Ref: i.Ref, Why: i.Why}
				if !i.Until.IsZero() {
					k.Until = &i.Until
				}
				c.Kept = append(c.Kept, k)
			}
			more = len(items) == call.MaxLimit
		}
	}
	c.Complete = len(c.Kept) == 0
	later, err := r.o.Store.ErasureReopenings(ctx, r.erasure.ID)
	if err != nil {
		return "", nil, err
	}
	for _, l := range later {
		c.FoundLater = append(c.FoundLater, FoundLater{l.At.UTC(), l.CallIDs, l.Certificate})
	}
	if r.o.Head != nil {
		if c.AuditHead, err = r.o.Head(ctx); err != nil {
			return "", nil, fmt.Errorf("sign the audit log's head: %w", err)
		}
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return "", nil, err
	}
	// Whoever was interrupted after putting one goes on with the next number.
	for n := r.erasure.Certificates + 1; ; n++ {
		key = certificateKey(r.erasure.ID, n)
		if _, err := r.o.Vault.Stat(ctx, key+".json"); err == nil {
			continue
		}
		facts := audit.CertificateFacts{ObjectKey: key + ".json", Kept: len(c.Kept), Complete: c.Complete}
		if r.o.Until != nil {
			facts.RetainUntil = r.o.Until(c.At)
		}
		for _, o := range []struct {
			extension, mediaType string
			text                 []byte
		}{{".json", "application/json", text}, {".txt", "text/plain; charset=utf-8", c.text()}} {
			kept, err := r.putCertificate(ctx, key+o.extension, o.mediaType, o.text, facts.RetainUntil)
			if err != nil {
				return "", nil, err
			}
			facts.Objects = append(facts.Objects, kept)
		}
		facts.SHA256 = facts.Objects[0].SHA256
		return key, facts, nil
	}
}

func (r *round) putCertificate(ctx context.Context, key, mediaType string, text []byte, until time.Time) (audit.KeptFile, error) {
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	sum := sha256.Sum256(text)
	return audit.KeptFile{ObjectKey: key, Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:])},
		PutOnce(ctx, r.o.Vault, key, bytes.NewReader(text), PutOptions{Size: int64(len(text)), SHA256: sum, MediaType: mediaType, Protection: Protection{Until: until}})
}

// text is the certificate for people.
func (c *Certificate) text() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "Certificate of erasure %s\n\n", c.Erasure)
	fmt.Fprintf(&b, "Asked for on %s by %s: %s\nAs of %s\n", c.AskedAt.UTC().Format(time.RFC3339), c.AskedBy, c.Reason, c.At.Format(time.RFC3339))
	fmt.Fprintf(&b, "The number's keyed hash is %s\n\nErased:\n", c.NumberHash)
	for _, kind := range call.ErasureKinds() {
		if n := c.Erased[kind]; n > 0 {
			fmt.Fprintf(&b, "  %-9s %d\n", kind, n)
		}
	}
	if len(c.Kept) > 0 {
		b.WriteString("\nKept for now:\n")
	}
	for _, k := range c.Kept {
		until := "until that ends"
		if k.Until != nil {
			until = "goes by itself after " + k.Until.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(&b, "  %-9s %s: %s; %s\n", k.Kind, k.Ref, k.Why, until)
	}
	if len(c.FoundLater) > 0 {
		b.WriteString("\nFound later, and counted above:\n")
	}
	for _, l := range c.FoundLater {
		fmt.Fprintf(&b, "  on %s more turned out to belong to erased calls, of which %s did not know: %s\n",
			l.At.Format(time.RFC3339), path.Base(l.Certificate), strings.Join(l.Calls, ", "))
	}
	b.WriteString("\nNot part of any erasure:\n")
	for _, text := range c.Remains {
		fmt.Fprintf(&b, "  - %s\n", text)
	}
	if c.AuditHead != "" {
		fmt.Fprintf(&b, "\nThe audit log's head:\n%s", c.AuditHead)
	}
	return []byte(b.String())
}
