package archive_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"callvault/archive"
	"callvault/internal/testenv"
)

func s3Options(b testenv.Bucket) archive.S3Options {
	return archive.S3Options{
		Endpoint: b.Endpoint, Bucket: b.Name, Region: testenv.MinIORegion,
		AccessKey: b.AccessKey, SecretKey: b.SecretKey, PathStyle: true,
	}
}

func openS3(t testing.TB, opts archive.S3Options) *archive.S3 {
	t.Helper()
	v, err := archive.NewS3(opts)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestS3 keeps the contract on each kind of bucket.
func TestS3(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bucket     testenv.BucketOptions
		lock       archive.LockMode
		encryption string
	}{
		"plain":      {},
		"versioned":  {bucket: testenv.BucketOptions{Versioned: true}},
		"governance": {bucket: testenv.BucketOptions{ObjectLock: true}, lock: archive.Governance},
		"compliance": {bucket: testenv.BucketOptions{ObjectLock: true}, lock: archive.Compliance},
		"created":    {bucket: testenv.BucketOptions{Missing: true}, lock: archive.Governance},
		"encrypted": {
			bucket: testenv.BucketOptions{ObjectLock: true}, lock: archive.Compliance,
			encryption: "sse-kms:" + testenv.MinIOKMSKey,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := s3Options(testenv.MinIO(t, c.bucket))
			opts.Lock, opts.Encryption, opts.CreateBucket = c.lock, c.encryption, c.bucket.Missing
			testVault(t, func(t *testing.T) archive.Vault { return openS3(t, opts) }, true)
		})
	}
}

func TestS3MakesItsBucketWhenAsked(t *testing.T) {
	t.Parallel()
	bucket := testenv.MinIO(t, testenv.BucketOptions{Missing: true})
	opts := s3Options(bucket)
	if err := openS3(t, opts).Check(t.Context()); err == nil {
		t.Error("a vault without a bucket is called writable")
	}
	opts.CreateBucket = true
	var wait sync.WaitGroup
	for range 4 { // nodes that start together
		wait.Go(func() {
			if err := openS3(t, opts).Check(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
}

func TestS3DoesNotReplaceABucketThatVanished(t *testing.T) {
	t.Parallel()
	bucket := testenv.MinIO(t, testenv.BucketOptions{Missing: true})
	opts := s3Options(bucket)
	opts.CreateBucket = true
	v := openS3(t, opts)
	put(t, v, "a", "x")
	if err := v.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := plainClient(t, opts).RemoveBucket(t.Context(), opts.Bucket); err != nil {
		t.Fatal(err)
	}
	if err := v.Check(t.Context()); err == nil {
		t.Error("a vault whose bucket vanished is called writable")
	}
}

func TestS3CheckNoticesWrongCredentials(t *testing.T) {
	t.Parallel()
	opts := s3Options(testenv.MinIO(t, testenv.BucketOptions{}))
	if err := openS3(t, opts).Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	opts.SecretKey = "not the secret"
	err := openS3(t, opts).Check(t.Context())
	if err == nil || strings.Contains(err.Error(), opts.SecretKey) {
		t.Errorf("error is %v", err)
	}
}

// TestS3Request looks at what really goes over the wire: one request with
// the plain body, neither chunked nor split nor hashed again.
func TestS3Request(t *testing.T) {
	t.Parallel()
	opts := s3Options(testenv.MinIO(t, testenv.BucketOptions{}))
	endpoint, err := url.Parse(opts.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var seen []*http.Request
	var length int64
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(endpoint)
		r.Out.Host = r.In.Host // it is signed
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.In)
		length += r.In.ContentLength
	}}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	direct := opts
	opts.Endpoint = server.URL

	body := bytes.Repeat([]byte("0123456789abcdef"), 2<<20) // 32 MiB: over minio-go's part size
	put := describe(body)
	put.Metadata = map[string]string{"call-key": "1672649960.9601"}
	if err := openS3(t, opts).Put(t.Context(), "calls/a.wav", bytes.NewReader(body), put); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 1 || length != int64(len(body)) {
		t.Fatalf("%d requests with %d bytes, want 1 with %d", len(seen), length, len(body))
	}
	sum := sha256.Sum256(body)
	want := map[string]string{
		"Content-Type":          "audio/wav",
		"If-None-Match":         "*",
		"X-Amz-Content-Sha256":  hex.EncodeToString(sum[:]),
		"X-Amz-Checksum-Sha256": base64.StdEncoding.EncodeToString(sum[:]),
		"X-Amz-Meta-Sha256":     hex.EncodeToString(sum[:]),
		"X-Amz-Meta-Call-Key":   "1672649960.9601",
		"Content-Md5":           "",
		"Content-Encoding":      "",
		"Transfer-Encoding":     "",
		"X-Amz-Trailer":         "",
	}
	got := map[string]string{}
	for name := range want {
		got[name] = seen[0].Header.Get(name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if seen[0].Method != http.MethodPut || len(seen[0].TransferEncoding) != 0 {
		t.Errorf("%s with %v", seen[0].Method, seen[0].TransferEncoding)
	}
	info, err := plainClient(t, direct).StatObject(t.Context(), direct.Bucket, "calls/a.wav",
		minio.StatObjectOptions{Checksum: true})
	if err != nil {
		t.Fatal(err)
	}
	if info.ChecksumSHA256 != want["X-Amz-Checksum-Sha256"] {
		t.Errorf("the store keeps checksum %q", info.ChecksumSHA256)
	}
}

// TestS3ServerChecksTheBody alters the bodies on their way: the first, whose
// payload is signed, and one after the store has confirmed a checksum.
func TestS3ServerChecksTheBody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		// hidden: the store's answer does not repeat the checksum.
		hidden  bool
		payload string // of the second PUT
	}{
		{"a store that confirms checksums", false, "UNSIGNED-PAYLOAD"},
		{"a store that knows none", true, hexSHA256("second")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			opts := s3Options(testenv.MinIO(t, testenv.BucketOptions{}))
			endpoint, err := url.Parse(opts.Endpoint)
			if err != nil {
				t.Fatal(err)
			}
			var alter bool
			var payload string
			proxy := &httputil.ReverseProxy{
				Rewrite: func(r *httputil.ProxyRequest) {
					r.SetURL(endpoint)
					r.Out.Host = r.In.Host
					payload = r.In.Header.Get("X-Amz-Content-Sha256")
					if alter {
						r.Out.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", int(r.In.ContentLength))))
					}
				},
				ModifyResponse: func(r *http.Response) error {
					if c.hidden {
						r.Header.Del("X-Amz-Checksum-Sha256")
					}
					return nil
				},
			}
			server := httptest.NewServer(proxy)
			t.Cleanup(server.Close)
			opts.Endpoint = server.URL
			v := openS3(t, opts)
			put := func(key, text string) error {
				return v.Put(t.Context(), key, strings.NewReader(text), describe([]byte(text)))
			}
			alter = true
			if err := put("a", "first"); !errors.Is(err, archive.ErrChecksum) || payload != hexSHA256("first") {
				t.Errorf("first, altered: got %v with payload %s, want %v", err, payload, archive.ErrChecksum)
			}
			alter = false
			if err := put("a", "first"); err != nil {
				t.Error(err)
			}
			alter = true
			if err := put("b", "second"); !errors.Is(err, archive.ErrChecksum) || payload != c.payload {
				t.Errorf("second, altered: got %v with payload %s, want %v with %s", err, payload, archive.ErrChecksum, c.payload)
			}
		})
	}
}

// TestS3StoreStopsConfirming: what the store is not seen to have checked is
// no success.
func TestS3StoreStopsConfirming(t *testing.T) {
	t.Parallel()
	opts := s3Options(testenv.MinIO(t, testenv.BucketOptions{}))
	endpoint, err := url.Parse(opts.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	var hide bool
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(endpoint)
			r.Out.Host = r.In.Host
		},
		ModifyResponse: func(r *http.Response) error {
			if hide {
				r.Header.Del("X-Amz-Checksum-Sha256")
			}
			return nil
		},
	})
	t.Cleanup(server.Close)
	opts.Endpoint = server.URL
	v := openS3(t, opts)
	for i, key := range []string{"a", "b", "c"} {
		hide = i > 0
		err := v.Put(t.Context(), key, strings.NewReader("audio"), describe([]byte("audio")))
		if (err != nil) != (key == "b") {
			t.Errorf("put %s: %v", key, err)
		}
	}
}

func hexSHA256(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func TestS3TrustsItsCAFile(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusPreconditionFailed) // what Check expects
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of refused handshakes
	server.StartTLS()
	t.Cleanup(server.Close)
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(caFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	opts := archive.S3Options{Endpoint: server.URL, Bucket: "b12", PathStyle: true, AccessKey: "a", SecretKey: "s"}
	if err := openS3(t, opts).Check(t.Context()); err == nil {
		t.Error("a stranger's certificate is trusted")
	}
	opts.CAFile = caFile
	if err := openS3(t, opts).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestS3OverTLS puts and reads locked objects at a MinIO that is reached
// through TLS with a certificate of a CA of its own.
func TestS3OverTLS(t *testing.T) {
	t.Parallel()
	opts := s3Options(testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true}))
	endpoint, err := url.Parse(opts.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(endpoint)
		r.Out.Host = r.In.Host // it is signed
	}})
	t.Cleanup(server.Close)
	opts.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(opts.CAFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	opts.Endpoint, opts.Lock = server.URL, archive.Compliance
	testVault(t, func(t *testing.T) archive.Vault { return openS3(t, opts) }, true)
}

func TestS3OptionsThatCannotWork(t *testing.T) {
	t.Parallel()
	notPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(notPEM, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string]archive.S3Options{
		"no endpoint":     {Bucket: "b"},
		"no scheme":       {Endpoint: "minio:9000"},
		"other scheme":    {Endpoint: "ftp://minio:9000"},
		"path":            {Endpoint: "http://minio:9000/bucket"},
		"password":        {Endpoint: "http://hunter2:hunter2@minio:9000"},
		"no such CA file": {Endpoint: "https://minio:9000", CAFile: notPEM + "x"},
		"not a CA file":   {Endpoint: "https://minio:9000", CAFile: notPEM},
	} {
		_, err := archive.NewS3(opts)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func plainClient(t *testing.T, opts archive.S3Options) *minio.Client {
	t.Helper()
	client, err := minio.New(strings.TrimPrefix(opts.Endpoint, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(opts.AccessKey, opts.SecretKey, ""), Region: opts.Region,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}
