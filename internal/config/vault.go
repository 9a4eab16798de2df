package config

import (
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Vault is where recordings and report files are kept: a directory, or a bucket
// when S3 is given.
type Vault struct {
	// Directory is the vault's folder. Default empty: recordings/ in data. Not
	// together with S3. Danger: a plain directory cannot keep files from being
	// changed by whoever may write to it.
	Directory string `yaml:"directory"`

	// S3 is a bucket instead of the directory. Default none. Several nodes need
	// it.
	S3 *S3 `yaml:"s3,omitempty"`
}

// S3 is a bucket on MinIO or another S3-compatible store.
type S3 struct {
	// Endpoint is the server's address: http or https, host and port, no path.
	// Required. Danger: http sends recordings in the clear.
	Endpoint string `yaml:"endpoint"`

	// Bucket is the bucket's name, 3 to 63 characters. Required. Danger: when it
	// is changed, recordings kept in the old bucket are not found any more.
	Bucket string `yaml:"bucket"`

	// Region is the bucket's region. Default us-east-1, MinIO's own.
	Region string `yaml:"region"`

	// AccessKey is the name of the access key. Required.
	AccessKey string `yaml:"access_key"`

	// SecretKey is its secret. Required.
	SecretKey Secret `yaml:"secret_key"`

	// PathStyle puts the bucket into the path (MinIO) instead of the host name
	// (AWS). Default true.
	PathStyle bool `yaml:"path_style"`

	// CAFile holds the certificates, PEM, that the server is checked against
	// instead of the system's. Default empty: the system's.
	CAFile string `yaml:"ca_file"`

	// CreateBucket creates the bucket when it is missing. Default true. Danger: a
	// misspelt name makes a new, empty bucket instead of an error.
	CreateBucket bool `yaml:"create_bucket"`

	// ObjectLock is off, governance or compliance: how the store keeps
	// recordings and reports from being deleted before their retention is over.
	// Default off. Danger: a compliance lock cannot be taken back by anybody;
	// and nothing is archived into a bucket that cannot lock.
	ObjectLock ObjectLock `yaml:"object_lock"`

	// Encryption by the store is off, sse-s3 or sse-kms:KEYID. Default off.
	// Danger: who loses the key loses the recordings.
	Encryption string `yaml:"encryption"`
}

// ObjectLock is how objects are kept from being deleted.
type ObjectLock string

// The modes of Object Lock.
const (
	ObjectLockOff        ObjectLock = "off"
	ObjectLockGovernance ObjectLock = "governance"
	ObjectLockCompliance ObjectLock = "compliance"
)

// bucketName is the rule for buckets of S3, General purpose bucket naming
// rules, without dots at the ends.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func (v *Vault) check(l *loader) {
	if v.S3 == nil {
		return
	}
	if v.Directory != "" {
		l.fault("vault", "directory and s3 cannot both be given")
	}
	v.S3.check(l)
}

func (s *S3) check(l *loader) {
	const at = "vault.s3"
	if l.require(at, "endpoint", s.Endpoint) {
		if u, reason := parseWebURL(s.Endpoint); reason != "" {
			l.fault(at+".endpoint", "%s", reason)
		} else if strings.Trim(u.Path, "/") != "" {
			l.fault(at+".endpoint",
				"must be host and port only; the bucket has its own key")
		}
		s.Endpoint = strings.TrimRight(s.Endpoint, "/")
	}
	if l.require(at, "bucket", s.Bucket) {
		_, err := netip.ParseAddr(s.Bucket)
		if !bucketName.MatchString(s.Bucket) || err == nil ||
			strings.Contains(s.Bucket, "..") {
			l.fault(at+".bucket", "%s is not a bucket name "+
				"(3 to 63 of a-z, 0-9, - and .)", quote([]byte(s.Bucket)))
		}
	}
	l.require(at, "access_key", s.AccessKey)
	l.require(at, "secret_key", s.SecretKey.Reveal())
	if s.CAFile != "" {
		if _, err := RootCAs(s.CAFile); err != nil {
			l.fault(at+".ca_file", "%v", err)
		}
	}
	oneOf(l, at+".object_lock", s.ObjectLock, ObjectLockOff,
		ObjectLockGovernance, ObjectLockCompliance)
	if key, isKMS := strings.CutPrefix(s.Encryption, "sse-kms:"); s.Encryption != "off" &&
		s.Encryption != "sse-s3" && (!isKMS || key == "") {
		l.fault(at+".encryption", "must be off, sse-s3 or sse-kms:KEYID")
	}
}

// checkLocked says what would be archived without a lock in silence: only the
// rules give dates.
func (v *Vault) checkLocked(l *loader, r Retention) {
	if v.S3 == nil || v.S3.ObjectLock == ObjectLockOff ||
		slices.ContainsFunc(r.Recordings, func(r RetentionRule) bool { return r.Match.IsAll() }) {
		return
	}
	l.notice("vault.s3.object_lock", "locks no recording that no rule of "+
		"retention.recordings matches, for only a rule gives a date; end the "+
		"rules with one that has only keep")
}

// Folder is where the directory vault lies: Directory, else recordings in data.
func (v Vault) Folder(data string) string {
	if v.Directory != "" {
		return v.Directory
	}
	return filepath.Join(data, "recordings")
}
