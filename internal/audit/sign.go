package audit

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Key signs texts as notes of golang.org/x/mod/sumdb/note, by Ed25519.
type Key struct {
	signer   note.Signer
	verifier string
	seed     []byte
}

// Derive makes another secret of the key, of 32 bytes: the same for the same
// purpose, and nothing is learned by it of the key or of those for others.
func (k *Key) Derive(purpose string) ([]byte, error) {
	return hkdf.Key(sha256.New, k.seed, nil, purpose, 32)
}

// NewKey makes a key, in the text form in which it is kept. It is a secret.
func NewKey() (string, error) {
	private, _, err := note.GenerateKey(rand.Reader, "callvault-"+strings.ToLower(rand.Text()[:8]))
	if err != nil {
		return "", fmt.Errorf("make the key of the audit log: %w", err)
	}
	return private, nil
}

// errKey never quotes a key.
var errKey = errors.New("it is not a key of the audit log (one line that begins with PRIVATE+KEY+callvault)")

// ReadKey reads a key from its text form.
func ReadKey(private string) (*Key, error) {
	private = strings.TrimSpace(private)
	signer, err := note.NewSigner(private)
	if err != nil {
		return nil, errKey
	}
	// PRIVATE+KEY+name+hash+seed, in base64 after the algorithm's number.
	parts := strings.SplitN(private, "+", 5)
	seed, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return nil, errKey
	}
	public, ok := ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey)
	if !ok {
		return nil, errKey
	}
	verifier, err := note.NewEd25519VerifierKey(signer.Name(), public)
	if err != nil {
		return nil, errKey
	}
	return &Key{signer, verifier, seed[1:]}, nil
}

// Verifier is the key's public half as note.NewVerifier reads it: all that it
// takes to check what was signed.
func (k *Key) Verifier() string { return k.verifier }

// Fingerprint is that of the public half.
func (k *Key) Fingerprint() string { return Fingerprint(k.verifier) }

// Fingerprint is a public key in short, as it is printed for people to compare:
// the SHA-256 of its text form, in lower-case hex.
func Fingerprint(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return hex.EncodeToString(sum[:])
}

// Sign returns text with a signature below. The text must end with a newline,
// and have no other control characters than newlines.
func (k *Key) Sign(text string) (string, error) {
	signed, err := note.Sign(&note.Note{Text: text}, k.signer)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return string(signed), nil
}

// Open checks that a note was signed by the key whose public half is given, and
// returns its text.
func Open(signed, verifier string) (string, error) {
	v, err := note.NewVerifier(verifier)
	if err != nil {
		return "", fmt.Errorf("read the public key: %w", err)
	}
	n, err := note.Open([]byte(signed), note.VerifierList(v))
	if err != nil {
		return "", fmt.Errorf("check a signature by %s: %w", v.Name(), err)
	}
	return n.Text, nil
}

// Seal is a signed head of the log.
type Seal struct {
	Head
	// At is when it was signed, in whole milliseconds UTC.
	At time.Time `json:"at"`
	// RetainUntil is until when it is promised to stay in the vault, in whole
	// milliseconds UTC; zero: it does not say.
	RetainUntil time.Time `json:"retain_until,omitzero"`
	// Note is the signed text: a checkpoint as of C2SP's tlog-checkpoint
	// (https://c2sp.org/tlog-checkpoint) with the time as an extension line, and
	// with another one if it is promised to stay.
	Note string `json:"note"`
}

// KeptSeal is a seal's row: what the vault has under ObjectKey, too.
type KeptSeal struct {
	Size      int64
	ObjectKey string
	Note      string
	// At is when it was signed, as Note says, too.
	At time.Time
	// RetainUntil is until when it is promised to stay, by now; zero: nothing is.
	RetainUntil time.Time
	// BeingPut: nobody has said yet that it lies in the vault. No other is made
	// before somebody has, so only the newest can be on its way.
	BeingPut bool
	// MayLack: it is on its way, and not for longer than that may take, so it may
	// be in the vault, or not.
	MayLack bool
}

// SealPrefix begins the object keys of seals.
const SealPrefix = "seals/"

// ObjectKey is where in the vault a seal lies: by its size, so that seals are in
// their order there, and so that two nodes that seal at once take one place.
func (s Seal) ObjectKey() string { return fmt.Sprintf("%s%012d.note", SealPrefix, s.Size) }

const (
	sealTimePrefix = "time "
	sealKeptPrefix = "kept until "
	sealTimeLayout = "2006-01-02T15:04:05.000Z"
)

// SignHead seals a head. The lines of the text are the key's name, the size, the
// root hash in base64, the time, and, unless it is zero, until when the seal is
// promised to stay: no row of a database can take that back.
func (k *Key) SignHead(h Head, at, until time.Time) (Seal, error) {
	s := Seal{Head: h, At: at.UTC().Truncate(time.Millisecond)}
	text := fmt.Sprintf("%s\n%d\n%s\n%s%s\n", k.signer.Name(), h.Size, h.Hash, sealTimePrefix, s.At.Format(sealTimeLayout))
	if !until.IsZero() {
		s.RetainUntil = until.UTC().Truncate(time.Millisecond)
		text += sealKeptPrefix + s.RetainUntil.Format(sealTimeLayout) + "\n"
	}
	var err error
	if s.Note, err = k.Sign(text); err != nil {
		return Seal{}, err
	}
	return s, nil
}

// OpenSeal reads a sealed head and checks that it was signed by the key whose
// public half is given.
func OpenSeal(signed, verifier string) (Seal, error) {
	text, err := Open(signed, verifier)
	if err != nil {
		return Seal{}, err
	}
	s := Seal{Note: signed}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	name, _, _ := strings.Cut(verifier, "+")
	if len(lines) < 4 || len(lines) > 5 || lines[0] != name {
		return Seal{}, errNoHead
	}
	var sizeErr, hashErr, timeErr, keptErr error
	s.Size, sizeErr = strconv.ParseInt(lines[1], 10, 64)
	s.Hash, hashErr = tlog.ParseHash(lines[2])
	s.At, timeErr = sealTime(lines[3], sealTimePrefix)
	if len(lines) == 5 {
		s.RetainUntil, keptErr = sealTime(lines[4], sealKeptPrefix)
	}
	if err := errors.Join(sizeErr, hashErr, timeErr, keptErr); err != nil || s.Size < 0 {
		return Seal{}, errors.Join(errNoHead, err)
	}
	return s, nil
}

var errNoHead = errors.New("a signed text that is not a head of this log")

// sealTime reads the time of a seal's line that begins with prefix.
func sealTime(line, prefix string) (time.Time, error) {
	moment, found := strings.CutPrefix(line, prefix)
	if !found {
		return time.Time{}, fmt.Errorf("a line does not begin with %q", prefix)
	}
	return time.Parse(sealTimeLayout, moment)
}
