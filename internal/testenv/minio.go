package testenv

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// MinIOVariable names the environment variable with the address of a running
// server: http://ACCESSKEY:SECRETKEY@HOST:PORT.
const MinIOVariable = "TESTENV_MINIO"

// MinIORegion is the region that the servers answer for.
const MinIORegion = "us-east-1"

// MinIOKMSKey is the id of the one key that the servers' built-in key
// management has, for tests of sse-s3 and sse-kms.
const MinIOKMSKey = "callvault-test"

// Bucket is a bucket and what it takes to reach it.
type Bucket struct {
	// Endpoint is http://host:port, as in Callvault's configuration.
	Endpoint string
	// AccessKey and SecretKey are the server's root credentials.
	AccessKey, SecretKey string
	// Name is the bucket's name, new for each test.
	Name string
}

// BucketOptions says how a test's bucket is made. The zero value is an
// ordinary, empty one.
type BucketOptions struct {
	// Missing leaves it to the test to make the bucket.
	Missing bool
	// ObjectLock allows retention and legal hold on objects.
	ObjectLock bool
	// Versioned keeps what is put over or deleted. ObjectLock implies it.
	Versioned bool
}

// MinIOServer is a MinIO server process of our own. Its methods are for one
// goroutine at a time; the server of course is for many.
type MinIOServer struct {
	dir       string
	program   string
	port      int
	accessKey string
	secretKey string
	run       *process // nil while stopped
}

// MinIO returns a bucket that this test has for itself. It goes with the
// server, not with the test: what is locked could not be removed.
func MinIO(t testing.TB, options BucketOptions) Bucket {
	t.Helper()
	address := os.Getenv(MinIOVariable)
	if address == "" {
		server, err := sharedMinIO()
		if err != nil {
			t.Fatal(err)
		}
		address = server.Address()
	}
	bucket, err := newBucket(t.Context(), address, options)
	if err != nil {
		t.Fatal(err)
	}
	return bucket
}

// OwnMinIO starts a server for this test alone, which may stop it and start
// it again. It ends with the test.
func OwnMinIO(t testing.TB) *MinIOServer {
	t.Helper()
	server, err := StartMinIO(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// sharedMinIO is for MinIO what sharedPostgres is for PostgreSQL.
var sharedMinIO = sync.OnceValues(func() (*MinIOServer, error) {
	return StartMinIO(context.Background())
})

// MinIOProgram returns where `make tools` puts MinIO's server.
func MinIOProgram() (string, error) {
	root, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, ".tools", "bin", "minio"), nil
}

// StartMinIO starts a server on a new temporary folder.
func StartMinIO(ctx context.Context) (*MinIOServer, error) {
	path, err := MinIOProgram()
	if err != nil {
		return nil, err
	}
	_, err = os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errors.New("MinIO's server is not built (.tools/bin/minio): run `make tools`")
	}
	if err != nil {
		return nil, fmt.Errorf("start MinIO: %w", err)
	}
	dir, err := os.MkdirTemp("", "callvault-minio-")
	if err != nil {
		return nil, fmt.Errorf("start MinIO: %w", err)
	}
	server := &MinIOServer{
		dir: dir, program: path,
		accessKey: uniqueName("access"), secretKey: uniqueName("secret"),
	}
	server.port, err = freePort(ctx)
	if err == nil {
		err = server.Start(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, server.Close())
	}
	return server, nil
}

// Start starts the stopped server again, on the same port and data, and waits
// until it answers.
func (s *MinIOServer) Start(ctx context.Context) error {
	if s.run != nil {
		return errors.New("start MinIO: it is running")
	}
	run, err := program{
		name: "MinIO", dir: s.dir, stopSignal: "KILL",
		args: []string{
			s.program, "server", "--quiet", "--address", "127.0.0.1:" + strconv.Itoa(s.port),
			"--certs-dir", filepath.Join(s.dir, "certs"), filepath.Join(s.dir, "data"),
		},
		env: []string{
			"MINIO_ROOT_USER=" + s.accessKey, "MINIO_ROOT_PASSWORD=" + s.secretKey,
			"MINIO_BROWSER=off", "MINIO_UPDATE=off",
			// 32 zero bytes: a key that protects nothing but makes server-side
			// encryption work.
			"MINIO_KMS_SECRET_KEY=" + MinIOKMSKey + ":AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		},
	}.start()
	if err != nil {
		return err
	}
	s.run = run
	client, err := minioClient(s.Address())
	if err == nil {
		err = run.waitUntil(ctx, func(ctx context.Context) error {
			_, err := client.ListBuckets(ctx)
			return err
		})
	}
	if err != nil {
		return errors.Join(fmt.Errorf("start MinIO: %w", err), s.Stop())
	}
	return nil
}

// Stop ends the server at once and leaves its data for Start. Stopping a
// stopped server does nothing.
func (s *MinIOServer) Stop() error {
	if s.run == nil {
		return nil
	}
	err := s.run.stop()
	s.run = nil
	return err
}

// Close stops the server and removes its data.
func (s *MinIOServer) Close() error {
	return errors.Join(s.Stop(), os.RemoveAll(s.dir))
}

// Address returns http://ACCESSKEY:SECRETKEY@HOST:PORT, as in
// [MinIOVariable]. It stays the same over Stop and Start.
func (s *MinIOServer) Address() string {
	return fmt.Sprintf("http://%s:%s@127.0.0.1:%d", s.accessKey, s.secretKey, s.port)
}

// NewBucket returns a bucket of a new name on this server.
func (s *MinIOServer) NewBucket(ctx context.Context, options BucketOptions) (Bucket, error) {
	return newBucket(ctx, s.Address(), options)
}

// newBucket chooses a bucket name and makes the bucket if asked to.
func newBucket(ctx context.Context, address string, options BucketOptions) (Bucket, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return Bucket{}, fmt.Errorf("make bucket: %w", err)
	}
	secret, _ := parsed.User.Password()
	bucket := Bucket{
		Endpoint:  "http://" + parsed.Host,
		AccessKey: parsed.User.Username(),
		SecretKey: secret,
		Name:      uniqueName("test-"),
	}
	if options.Missing {
		return bucket, nil
	}
	client, err := minioClient(address)
	if err != nil {
		return Bucket{}, err
	}
	err = client.MakeBucket(ctx, bucket.Name, minio.MakeBucketOptions{
		Region: MinIORegion, ObjectLocking: options.ObjectLock,
	})
	if err == nil && options.Versioned && !options.ObjectLock {
		err = client.EnableVersioning(ctx, bucket.Name)
	}
	if err != nil {
		return Bucket{}, fmt.Errorf("make bucket: %w", err)
	}
	return bucket, nil
}

// minioClient returns a client for an address as in [MinIOVariable].
func minioClient(address string) (*minio.Client, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("connect to MinIO: %w", err)
	}
	secret, _ := parsed.User.Password()
	client, err := minio.New(parsed.Host, &minio.Options{
		Creds:      credentials.NewStaticV4(parsed.User.Username(), secret, ""),
		Region:     MinIORegion,
		MaxRetries: 1, // the caller asks again
	})
	if err != nil {
		return nil, fmt.Errorf("connect to MinIO: %w", err)
	}
	return client, nil
}
