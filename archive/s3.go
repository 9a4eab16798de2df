package archive

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"
)

// S3Options say where a bucket is and how to get in.
type S3Options struct {
	Endpoint  string // http:// or https:// and host:port, nothing after it
	Bucket    string
	Region    string // empty: us-east-1, which MinIO takes
	AccessKey string
	SecretKey string
	// PathStyle puts the bucket into the path instead of the host name.
	PathStyle bool
	// CAFile is a file of PEM certificates to trust beside the system's.
	CAFile string
	// CreateBucket makes the bucket when it is missing at the first use, with
	// Object Lock if Lock asks for it.
	CreateBucket bool
	// Lock is the mode in which objects are locked; Unlocked: they are not.
	// Nothing is put into a bucket that cannot lock though it should.
	Lock LockMode
	// Encryption by the server: empty, "sse-s3", or "sse-kms:" and the id of
	// a key.
	Encryption string
}

// S3 is a vault in a bucket of an S3-compatible store.
type S3 struct {
	core         minio.Core
	bucket       string
	region       string
	createBucket bool
	lock         LockMode
	encryption   encrypt.ServerSide // nil: none
	clock        *clock

	// confirms says that the store told with the last PUT by which checksum it
	// has checked what it got.
	confirms atomic.Bool

	mu       sync.Mutex
	prepared bool // the bucket was seen, and that it can lock; guarded by mu
}

// Time limits of one call to the store, its retries included. A body being
// read has none of its own; its context ends it.
const (
	s3AnswerLimit = 30 * time.Second
	s3PutLimit    = time.Minute // and a second more per s3PutRate bytes
	s3PutRate     = 256 << 10
	// s3Tries bridges a hiccup. Longer outages are the queue's business.
	s3Tries = 3
)

// checkObject is there only so that Check can try to put it again.
const checkObject = ".callvault-check"

// NewS3 returns the vault in a bucket. It asks nothing of the store yet, so
// that Callvault starts also while the store is down.
func NewS3(opts S3Options) (*S3, error) {
	endpoint, err := url.Parse(opts.Endpoint)
	if err != nil || endpoint.Host == "" || endpoint.User != nil ||
		(endpoint.Scheme != "http" && endpoint.Scheme != "https") ||
		strings.Trim(endpoint.Path, "/") != "" || endpoint.RawQuery != "" {
		// Not repeated: somebody may have put the secret into it.
		return nil, errors.New("S3 endpoint: want http(s)://host:port and nothing else")
	}
	secure := endpoint.Scheme == "https"
	transport, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, fmt.Errorf("S3 transport: %w", err)
	}
	if opts.CAFile != "" {
		roots, err := rootsWith(opts.CAFile)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	lookup := minio.BucketLookupDNS
	if opts.PathStyle {
		lookup = minio.BucketLookupPath
	}
	region := opts.Region
	if region == "" {
		region = "us-east-1"
	}
	encryption, err := serverSide(opts.Encryption)
	if err != nil {
		return nil, err
	}
	switch opts.Lock {
	case Unlocked, Governance, Compliance:
	default:
		return nil, fmt.Errorf("S3 Object Lock: there is no mode %q", opts.Lock)
	}
	clock := &clock{RoundTripper: ownBody{transport}}
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds:  credentials.NewStaticV4(opts.AccessKey, opts.SecretKey, ""),
		Secure: secure, Transport: clock, Region: region,
		BucketLookup: lookup, MaxRetries: s3Tries,
	})
	if err != nil {
		return nil, fmt.Errorf("S3 client: %w", err)
	}
	return &S3{
		core: minio.Core{Client: client}, bucket: opts.Bucket, region: region,
		createBucket: opts.CreateBucket, lock: opts.Lock, encryption: encryption,
		clock: clock,
	}, nil
}

func serverSide(name string) (encrypt.ServerSide, error) {
	key, isKMS := strings.CutPrefix(name, "sse-kms:")
	switch {
	case name == "":
		return nil, nil //nolint:nilnil // no encryption is no value
	case name == "sse-s3":
		return encrypt.NewSSE(), nil
	case isKMS && key != "":
		return encrypt.NewSSEKMS(key, nil)
	}
	return nil, fmt.Errorf("S3 encryption: there is no %q", name)
}

func rootsWith(caFile string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("S3 CA file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("system's certificates: %w", err)
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("S3 CA file %s: no PEM certificate in it", caFile)
	}
	return roots, nil
}

// prepare makes the bucket if that is asked for, and looks whether it can lock
// if it should. Only until it was seen once: a bucket that vanishes later is a
// disaster to be told of, not to be papered over with a new one, and a lock
// once on cannot be switched off.
func (s *S3) prepare(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.prepared {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s3AnswerLimit)
	defer cancel()
	if s.createBucket {
		if err := s.makeBucket(ctx); err != nil {
			return fmt.Errorf("create bucket %s: %w", s.bucket, err)
		}
	}
	if err := s.canLock(ctx); err != nil {
		return err
	}
	s.prepared = true
	return nil
}

func (s *S3) makeBucket(ctx context.Context) error {
	exists, err := s.core.BucketExists(ctx, s.bucket)
	if err == nil && !exists {
		err = s.core.MakeBucket(ctx, s.bucket, minio.MakeBucketOptions{Region: s.region, ObjectLocking: s.lock != Unlocked})
		if minio.ToErrorResponse(err).Code == minio.BucketAlreadyOwnedByYou {
			err = nil // another node was first
		}
	}
	return err
}

// Put implements Vault: one request, nothing buffered. The SHA-256 is sent as
// the checksum that the store checks and keeps, in a header that is signed. A
// store that knows no checksums does neither, and does not repeat it in its
// answer; so until one does, the SHA-256 is sent as the hash of the signed
// payload too, which every S3 store must check. Both at once let the store hash
// everything twice.
func (s *S3) Put(ctx context.Context, key string, body io.ReaderAt, opts PutOptions) error {
	if err := checkPut(key, opts); err != nil {
		return err
	}
	return s.put(ctx, key, body, opts)
}

func (s *S3) put(ctx context.Context, key string, body io.ReaderAt, opts PutOptions) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	seconds := time.Duration(opts.Size/s3PutRate) * time.Second
	ctx, cancel := context.WithTimeout(ctx, s3PutLimit+seconds)
	defer cancel()
	sum := hex.EncodeToString(opts.SHA256[:])
	checksum := base64.StdEncoding.EncodeToString(opts.SHA256[:])
	headers := map[string]string{minio.ChecksumSHA256.Key(): checksum, metadataSHA256: sum}
	for name, value := range opts.Metadata {
		headers[name] = encodeMetadata(value)
	}
	put := minio.PutObjectOptions{
		ContentType: opts.MediaType, UserMetadata: headers,
		// Else minio-go signs the body in chunks of its own over http, and
		// hashes it once more to do so.
		DisableContentSha256: true,
		ServerSideEncryption: s.encryption,
	}
	s.protectPut(&put, opts.Protection)
	put.SetMatchETagExcept("*")
	payload, confirmed := sum, s.confirms.Load()
	if confirmed {
		payload = "" // unsigned
	}
	info, err := s.core.PutObject(ctx, s.bucket, key,
		io.NewSectionReader(body, 0, opts.Size), opts.Size, "", payload, put)
	if err != nil {
		return s.describe("put", key, err)
	}
	confirms := info.ChecksumSHA256 == checksum
	s.confirms.Store(confirms)
	if confirmed && !confirms {
		return s.describe("put", key, errors.New("the store no longer confirms the checksum of what it got"))
	}
	return nil
}

// Open implements Vault.
func (s *S3) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, ObjectInfo, error) {
	if err := checkKey(key); err != nil {
		return nil, ObjectInfo{}, err
	}
	if offset < 0 || length == 0 {
		return nil, ObjectInfo{}, fmt.Errorf("open %s: %w", key, ErrRange)
	}
	var get minio.GetObjectOptions
	switch {
	case length > 0:
		get.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	case offset > 0:
		get.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	r, info, header, err := s.core.GetObject(ctx, s.bucket, key, get)
	if err != nil {
		return nil, ObjectInfo{}, s.describe("open", key, err)
	}
	object := objectFrom(info)
	if _, total, ok := strings.Cut(header.Get("Content-Range"), "/"); ok {
		if object.Size, err = strconv.ParseInt(total, 10, 64); err != nil {
			return nil, ObjectInfo{}, errors.Join(
				fmt.Errorf("open %s: size in Content-Range: %w", key, err), r.Close())
		}
	}
	return r, object, nil
}

// Stat implements Vault.
func (s *S3) Stat(ctx context.Context, key string) (ObjectInfo, error) {
	if err := checkKey(key); err != nil {
		return ObjectInfo{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s3AnswerLimit)
	defer cancel()
	info, err := s.core.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return ObjectInfo{}, s.describe("stat", key, err)
	}
	return objectFrom(info), nil
}

// List implements Vault.
func (s *S3) List(ctx context.Context, prefix string) iter.Seq2[ObjectInfo, error] {
	return func(yield func(ObjectInfo, error) bool) {
		if err := checkPrefix(prefix); err != nil {
			yield(ObjectInfo{}, err)
			return
		}
		for info, err := range s.list(ctx, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
			if !yield(listed(info), err) {
				return
			}
		}
	}
}

// list yields what is listed, but for the vault's own. It ends after an error.
func (s *S3) list(ctx context.Context, opts minio.ListObjectsOptions) iter.Seq2[minio.ObjectInfo, error] {
	return func(yield func(minio.ObjectInfo, error) bool) {
		for info := range s.core.ListObjectsIter(ctx, s.bucket, opts) {
			if info.Err != nil {
				yield(minio.ObjectInfo{}, s.describe("list", opts.Prefix, info.Err))
				return
			}
			if !hidden(info.Key) && !yield(info, nil) {
				return
			}
		}
		// minio-go ends a cancelled list as if it were complete.
		if err := ctx.Err(); err != nil {
			yield(minio.ObjectInfo{}, s.describe("list", opts.Prefix, err))
		}
	}
}

func listed(info minio.ObjectInfo) ObjectInfo {
	return ObjectInfo{Key: info.Key, Size: info.Size, Modified: info.LastModified}
}

// Check implements Vault. It puts one small object under a fixed key. That
// works once; from then on the store refuses because the object exists, but
// not before it has looked at the credentials and the right to write.
func (s *S3) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s3AnswerLimit)
	defer cancel()
	const text = "Callvault tries whether it may write by putting this object again.\n"
	err := s.put(ctx, checkObject, strings.NewReader(text), PutOptions{
		Size: int64(len(text)), SHA256: sha256.Sum256([]byte(text)), MediaType: "text/plain",
	})
	if err != nil && !errors.Is(err, ErrExists) {
		return fmt.Errorf("check vault: %w", err)
	}
	if err := s.canLock(ctx); err != nil { // prepare looked only once
		return fmt.Errorf("check vault: %w", err)
	}
	return nil
}

// describe names the act and gives the store's answers their sentinels.
func (s *S3) describe(act, key string, err error) error {
	if err == nil {
		return nil
	}
	switch answer := minio.ToErrorResponse(err); {
	case answer.Code == minio.NoSuchKey:
		err = ErrNotFound
	case answer.Code == minio.PreconditionFailed:
		err = ErrExists
	case answer.Code == minio.InvalidRange:
		err = ErrRange
	case answer.StatusCode == http.StatusBadRequest && wrongChecksum(answer.Code):
		err = fmt.Errorf("%w: %w", ErrChecksum, err)
	}
	return fmt.Errorf("%s %s: %w", act, key, err)
}

func wrongChecksum(code string) bool {
	switch code {
	case "BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch":
		return true
	}
	return false
}

func objectFrom(info minio.ObjectInfo) ObjectInfo {
	object := ObjectInfo{
		Key: info.Key, Size: info.Size, Modified: info.LastModified,
		MediaType: info.ContentType,
	}
	object.Protection, object.LockMode = protectionFrom(info)
	for name, value := range info.UserMetadata {
		name = strings.ToLower(name)
		if name == metadataSHA256 {
			object.SHA256 = decodeSHA256(value)
			continue
		}
		if object.Metadata == nil {
			object.Metadata = map[string]string{}
		}
		object.Metadata[name] = value // minio-go undoes encodeMetadata
	}
	return object
}

// encodeMetadata brings a value into the ASCII of an HTTP header. What
// providers send as an identifier may hold anything.
func encodeMetadata(value string) string { return mime.QEncoding.Encode("utf-8", value) }
