// Package s3 is the origin that speaks S3, on aws-sdk-go-v2: AWS and every server that is compatible with it. Each read of a known
// version carries If-Match, and each answer's ETag and full size are compared with what was asked, since some servers ignore the
// condition. It never retries: origin/retry does, around it. The protocol's other half, the server that clients of Alio talk to, is
// s3/endpoint. Start at New.
package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"github.com/alio-lake/alio/origin"
)

// Origin is a bucket, or a folder of one. All methods may be called in parallel. The version of an object is its ETag and size; an object without
// an ETag, or with a weak one, has no version.
type Origin struct {
	opts   Options
	client *s3.Client
	http   *http.Client
	region string
	base   url.URL // of the bucket, with the bucket in the host or in the path
	server string  // the server's URL, without the bucket
	id     string
}

// New makes an origin. It reads the AWS environment and shared files, and sends nothing: a bucket that does not exist shows at the
// first request.
func New(opts Options) (*Origin, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	cfg, err := load(opts)
	if err != nil {
		return nil, err
	}
	o := &Origin{opts: opts, http: opts.HTTPClient}
	if o.http == nil {
		o.http = newHTTPClient(opts, cfg)
	}
	o.client = s3.NewFromConfig(cfg, func(c *s3.Options) {
		if opts.Endpoint != "" {
			c.BaseEndpoint = aws.String(opts.Endpoint)
		}
		if c.Region == "" {
			c.Region = "us-east-1" // where AWS itself looks first; an answer for a bucket elsewhere names its region
		}
		c.UsePathStyle = opts.PathStyle
		c.HTTPClient = o.http
		c.Retryer = aws.NopRetryer{}
		c.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		c.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		c.DisableS3ExpressSessionAuth = aws.Bool(true)
	})
	o.region = o.client.Options().Region
	return o, o.resolve()
}

// load asks the AWS SDK for the environment's configuration, with the options' own on top.
func load(opts Options) (aws.Config, error) {
	with := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{})}
	if opts.Region != "" {
		with = append(with, config.WithRegion(opts.Region))
	}
	switch {
	case opts.Anonymous:
		with = append(with, config.WithCredentialsProvider(aws.AnonymousCredentials{}))
	case opts.AccessKeyID != "":
		with = append(with, config.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(opts.AccessKeyID, opts.SecretAccessKey, opts.SessionToken)))
	}
	cfg, err := config.LoadDefaultConfig(context.Background(), with...)
	if err != nil {
		return cfg, fmt.Errorf("s3: the AWS environment or its shared files are not usable: %w", err)
	}
	return cfg, nil
}

// resolve finds the URLs of the server and of the bucket as the SDK itself would.
func (o *Origin) resolve() error {
	c := o.client.Options()
	find := func(bucket *string, pathStyle bool) (url.URL, error) {
		p := s3.EndpointParameters{
			Bucket: bucket, Region: aws.String(o.region), Endpoint: c.BaseEndpoint, ForcePathStyle: aws.Bool(pathStyle),
			UseFIPS:      aws.Bool(c.EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled),
			UseDualStack: aws.Bool(c.EndpointOptions.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled),
		}
		e, err := c.EndpointResolverV2.ResolveEndpoint(context.Background(), p.WithDefaults())
		if err != nil {
			return url.URL{}, fmt.Errorf("s3: bucket %q has no address: %w", o.opts.Bucket, err)
		}
		return e.URI, nil
	}
	server, err := find(nil, true)
	if err != nil {
		return err
	}
	if o.base, err = find(aws.String(o.opts.Bucket), o.opts.PathStyle); err != nil {
		return err
	}
	server.Host = strings.ToLower(server.Host)
	o.server = strings.TrimRight(server.String(), "/")
	o.id = fmt.Sprintf("s3:%q/%q", o.server, o.opts.Bucket)
	return nil
}

// newHTTPClient makes the client for everything the origin sends.
func newHTTPClient(opts Options, cfg aws.Config) *http.Client {
	t := newTransport(opts)
	if b, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
		if tls := b.GetTransport().TLSClientConfig; tls != nil { // AWS_CA_BUNDLE
			t.TLSClientConfig = tls.Clone()
		}
	}
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Close drops idle connections. It may be called more than once; requests made later still work.
func (o *Origin) Close() error {
	o.http.CloseIdleConnections()
	return nil
}

// ID names the server and the bucket; the prefix and the mount's alias are no part of it.
func (o *Origin) ID() string { return o.id }

// Root implements origin.Rooted: the prefix of every key.
func (o *Origin) Root() string { return o.opts.Prefix }

// key is the object's key in the bucket. Below a prefix, a path must not climb out of it on a server that resolves dots.
func (o *Origin) key(op, path string) (string, error) {
	if path == "" {
		return "", origin.NewError(origin.ErrInvalid, op, path, errors.New("the path is empty"))
	}
	if o.opts.Prefix != "" && hasDots(path) {
		return "", origin.NewError(origin.ErrInvalid, op, path, errors.New(`a "." or ".." in a path cannot be used below a mount's prefix`))
	}
	return o.opts.Prefix + path, nil
}

// Stat asks for the object's present version by a HEAD.
func (o *Origin) Stat(ctx context.Context, path string) (origin.Object, error) {
	key, err := o.key("stat", path)
	if err != nil {
		return origin.Object{}, err
	}
	out, err := o.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(o.opts.Bucket), Key: aws.String(key)})
	if err != nil {
		return origin.Object{}, o.fail(ctx, "stat", path, err)
	}
	raw, err := rawResponse(out.ResultMetadata)
	if err == nil && raw.ContentLength < 0 {
		err = errors.New("the answer has no Content-Length")
	}
	if err != nil {
		return origin.Object{}, origin.NewError(origin.ErrUnavailable, "stat", path, o.named(err))
	}
	return o.object(path, raw.Header, raw.ContentLength), nil
}
