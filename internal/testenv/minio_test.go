package testenv

import (
	"net/url"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
)

// clientFor returns a client that reaches the bucket.
func clientFor(t *testing.T, bucket Bucket) *minio.Client {
	t.Helper()
	address := strings.Replace(bucket.Endpoint, "://",
		"://"+url.UserPassword(bucket.AccessKey, bucket.SecretKey).String()+"@", 1)
	client, err := minioClient(address)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestMinIOMakesTheBucketUnlessToldNotTo(t *testing.T) {
	t.Parallel()
	for name, missing := range map[string]bool{"made": false, "missing": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bucket := MinIO(t, BucketOptions{Missing: missing})
			exists, err := clientFor(t, bucket).BucketExists(t.Context(), bucket.Name)
			if err != nil {
				t.Fatal(err)
			}
			if exists == missing {
				t.Errorf("bucket exists: %t, missing asked: %t", exists, missing)
			}
		})
	}
}

func TestMinIOLocksObjectsWhenAsked(t *testing.T) {
	t.Parallel()
	bucket := MinIO(t, BucketOptions{ObjectLock: true})
	enabled, _, _, _, err := clientFor(t, bucket).GetObjectLockConfig(t.Context(), bucket.Name)
	if err != nil || enabled != "Enabled" {
		t.Fatalf("object lock is %q, %v", enabled, err)
	}
}

func TestOwnMinIOKeepsItsDataOverStopAndStart(t *testing.T) {
	t.Parallel()
	server := OwnMinIO(t)
	bucket, err := server.NewBucket(t.Context(), BucketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	client := clientFor(t, bucket)
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.ListBuckets(t.Context()); err == nil {
		t.Fatal("the stopped server answers")
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	exists, err := client.BucketExists(t.Context(), bucket.Name)
	if err != nil || !exists {
		t.Fatalf("bucket exists after restart: %t, %v", exists, err)
	}
}
