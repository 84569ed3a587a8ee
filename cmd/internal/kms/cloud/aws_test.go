package cloud_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha512"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/cloud"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/awsfake"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/signer/signertest"
)

// The server behind these tests is awsfake, not AWS.

func startAWS(t *testing.T) *awsfake.Server {
	t.Helper()
	s := awsfake.Start(t)
	s.Setenv(t)
	return s
}

func TestAWSConformance(t *testing.T) {
	s := startAWS(t)
	for _, spec := range []awsfake.Spec{awsfake.ECCP256, awsfake.ECCP384, awsfake.ECCP521, awsfake.RSA2048, awsfake.RSA3072, awsfake.PSSOnly} {
		t.Run(string(spec), func(t *testing.T) {
			s.AddKey("alias/"+string(spec), spec)
			open := func(t *testing.T) signer.Signer { return open(t, s.URI("alias/"+string(spec)), cloud.Config{}) }
			signertest.Run(t, open)
			if strings.HasPrefix(string(spec), "RSA_") {
				signertest.RunPSS(t, open)
			}
		})
	}
	signertest.RunFaults(t, signertest.Faults{
		Dead:     brokenAWS(awsfake.Internal),
		WrongKey: brokenAWS(awsfake.WrongKey),
		Garbage:  brokenAWS(awsfake.Garbage),
		Hangs:    brokenAWS(awsfake.Hang),
	})
}

// brokenAWS opens a key of a server that then goes wrong.
func brokenAWS(f awsfake.Fault) func(*testing.T) signer.Signer {
	return func(t *testing.T) signer.Signer {
		s := startAWS(t)
		s.AddKey("alias/tsa", awsfake.ECCP256)
		k := open(t, s.URI("alias/tsa"), cloud.Config{})
		s.Break("", f)
		return k
	}
}

// Every form of the name is the key, and the key stays what it was.
func TestAWSNames(t *testing.T) {
	s := startAWS(t)
	first := s.AddKey("alias/team/tsa", awsfake.ECCP256)
	second := s.AddKey("", awsfake.ECCP256)
	for _, name := range []string{"alias/team/tsa", first.ID(), first.ARN(), strings.Replace(first.ARN(), "key/"+first.ID(), "alias/team/tsa", 1)} {
		t.Run(name, func(t *testing.T) {
			s.Point("alias/team/tsa", first)
			k := open(t, s.URI(name), cloud.Config{})
			if !sameKey(k.Public(), first.Public()) || k.Resource() != first.ARN() {
				t.Fatalf("got %s; want %s", k.Resource(), first.ARN())
			}
			s.Point("alias/team/tsa", second)
			signature, err := sign(t, k, patience)
			if err != nil {
				t.Fatal(err)
			}
			if !verifies(first.Public(), signature) {
				t.Error("after the alias was pointed elsewhere, another key signs")
			}
		})
	}
	if k := open(t, s.URI("alias/team/tsa"), cloud.Config{}); k.Resource() != second.ARN() {
		t.Errorf("opened anew, the alias is %s; want %s", k.Resource(), second.ARN())
	}
}

// An ARN says its region; the environment need not.
func TestAWSRegionOfARN(t *testing.T) {
	s := startAWS(t)
	k := s.AddKey("", awsfake.ECCP256)
	for _, region := range []string{"", "us-east-1"} {
		t.Setenv("AWS_REGION", region)
		opened := open(t, s.URI(k.ARN()), cloud.Config{})
		if _, err := sign(t, opened, patience); err != nil {
			t.Errorf("with AWS_REGION=%q: %v", region, err)
		}
	}
}

func TestAWSOptions(t *testing.T) {
	s := startAWS(t)
	s.AddKey("alias/rsa", awsfake.RSA2048)
	s.AddKey("alias/p256", awsfake.ECCP256)
	uri := s.URI("alias/rsa")
	k := open(t, uri, cloud.Config{})
	hashes := []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}
	both := []signer.Padding{signer.PKCS1v15, signer.PSS}
	if !k.HonoursContext() || !slices.Equal(k.Hashes(), hashes) || !slices.Equal(k.Paddings(), both) {
		t.Errorf("hashes %v, paddings %v; want %v and %v", k.Hashes(), k.Paddings(), hashes, both)
	}
	sum := sha512.Sum512([]byte("what is stamped"))
	for _, padding := range both {
		signature, err := k.Sign(t.Context(), sum[:], padding.Options(crypto.SHA512))
		if err != nil {
			t.Fatal(err)
		}
		pub := k.Public().(*rsa.PublicKey)
		if padding == signer.PSS && rsa.VerifyPSS(pub, crypto.SHA512, sum[:], signature, nil) != nil ||
			padding == signer.PKCS1v15 && rsa.VerifyPKCS1v15(pub, crypto.SHA512, sum[:], signature) != nil {
			t.Errorf("%s with SHA-512: the signature is wrong", padding)
		}
	}
	if n := s.Calls("Sign"); n != 2 {
		t.Errorf("the service was asked %d times for two signatures", n)
	}
	_, err := k.Sign(t.Context(), digest[:], &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: 20})
	complaint{fault.Unsupported, "salt of 20 bytes", "as long as the hash"}.check(t, uri, err)
	_, err = k.Sign(t.Context(), digest[:31], crypto.SHA256)
	complaint{fault.Unfit, "digest of 31 bytes", ""}.check(t, uri, err)
	if n := s.Calls("Sign"); n != 2 {
		t.Errorf("the service was asked %d times", n)
	}

	s.AddKey("alias/pss", awsfake.PSSOnly)
	uri = s.URI("alias/pss")
	_, err = open(t, uri, cloud.Config{}).Sign(t.Context(), digest[:], crypto.SHA256)
	complaint{fault.Unsupported, "RSA-PSS signatures only", "PKCS #1 v1.5: make"}.check(t, uri, err)

	uri = s.URI("alias/p256")
	k = open(t, uri, cloud.Config{})
	_, err = k.Sign(t.Context(), sum[:48], crypto.SHA384)
	complaint{fault.Unfit, "not with SHA-384", "ask for SHA-256"}.check(t, uri, err)
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	_, err = k.Sign(t.Context(), digest[:], crypto.SHA256)
	complaint{fault.Unsupported, "closed", ""}.check(t, uri, err)
}

// What is wrong with a key when it is opened.
func TestAWSUnfit(t *testing.T) {
	s := startAWS(t)
	for _, tt := range []struct {
		spec  awsfake.Spec
		state string
		want  complaint
	}{
		{awsfake.Edwards, "Enabled", complaint{fault.Unfit, "ED25519_SHA_512", "ECC_NIST_P256"}},
		{awsfake.Symmetric, "Enabled", complaint{fault.Unfit, "ENCRYPT_DECRYPT", "SIGN_VERIFY"}},
		{awsfake.ECCP256, "Disabled", complaint{fault.Unfit, "its state is Disabled", "aws kms enable-key"}},
		{awsfake.ECCP256, "PendingDeletion", complaint{fault.Unfit, "PendingDeletion", "cancel-key-deletion"}},
		{awsfake.ECCP256, "Creating", complaint{fault.Unfit, "Creating", "wait"}},
	} {
		t.Run(string(tt.spec)+" "+tt.state, func(t *testing.T) {
			s.AddKey("alias/x", tt.spec).SetState(tt.state)
			tt.want.check(t, s.URI("alias/x"), openError(t, s.URI("alias/x"), cloud.Config{}, patience))
		})
	}
	uri := s.URI("alias/nobody")
	complaint{fault.NotFound, "NotFoundException", "account and region"}.check(t, uri, openError(t, uri, cloud.Config{}, patience))
}

// Each fault, when the key is opened and when it signs.
func TestAWSFaults(t *testing.T) {
	for _, tt := range []struct {
		fault awsfake.Fault
		limit time.Duration
		want  complaint
	}{
		{awsfake.NotFound, patience, complaint{fault.NotFound, "NotFoundException", "account and region"}},
		{awsfake.Denied, patience, complaint{fault.Denied, "AccessDeniedException", "kms:Sign"}},
		{awsfake.Disabled, patience, complaint{fault.Unfit, "DisabledException", "aws kms enable-key"}},
		{awsfake.InvalidState, patience, complaint{fault.Unfit, "KMSInvalidStateException", "cancel-key-deletion"}},
		{awsfake.Expired, patience, complaint{fault.Credentials, "ExpiredTokenException", "new temporary credentials"}},
		{awsfake.Unrecognized, patience, complaint{fault.Credentials, "UnrecognizedClientException", "AWS_ACCESS_KEY_ID"}},
		{awsfake.ThrottleAlways, patience, complaint{fault.Unreachable, "ThrottlingException", "quota"}},
		{awsfake.Internal, patience, complaint{fault.Unreachable, "KMSInternalException", "if the service comes back"}},
		{awsfake.BadGateway, patience, complaint{fault.Unreachable, "", "if the service comes back"}},
		{awsfake.NotJSON, patience, complaint{fault.Malformed, "cannot be read", "see that the endpoint is AWS KMS"}},
		{awsfake.Hang, brief, complaint{fault.Unreachable, "no answer in time", "whether the service answers"}},
	} {
		t.Run(string(tt.fault), func(t *testing.T) {
			s := startAWS(t)
			s.AddKey("alias/tsa", awsfake.ECCP256)
			uri := s.URI("alias/tsa")
			k := open(t, uri, cloud.Config{})

			s.Break("Sign", tt.fault)
			signature, err := sign(t, k, tt.limit)
			if signature != nil {
				t.Error("a signature came with the error")
			}
			tt.want.check(t, uri, err)
			if tt.fault == awsfake.Hang && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v does not wrap the context's error", err)
			}
			for _, operation := range []string{"DescribeKey", "GetPublicKey"} {
				s.Heal()
				s.Break(operation, tt.fault)
				tt.want.check(t, uri, openError(t, uri, cloud.Config{}, tt.limit))
			}
			s.Heal()
			if _, err := sign(t, k, patience); err != nil {
				t.Errorf("after the fault: %v", err)
			}
		})
	}
}

// What the service sends back as a signature.
func TestAWSSignatures(t *testing.T) {
	s := startAWS(t)
	key := s.AddKey("alias/tsa", awsfake.ECCP256)
	uri := s.URI("alias/tsa")
	k := open(t, uri, cloud.Config{})

	s.Break("Sign", awsfake.ThrottleOnce)
	if _, err := sign(t, k, patience); err != nil {
		t.Errorf("throttled once: %v", err)
	}
	s.Break("Sign", awsfake.Garbage)
	_, err := sign(t, k, patience)
	complaint{fault.Malformed, "no ECDSA signature", ""}.check(t, uri, err)
	s.Break("Sign", awsfake.Empty)
	_, err = sign(t, k, patience)
	complaint{fault.Malformed, "0 bytes", ""}.check(t, uri, err)

	// A signature by another key is one; whoever releases it verifies it.
	s.Break("Sign", awsfake.WrongKey)
	signature, err := sign(t, k, patience)
	if err != nil || verifies(key.Public(), signature) {
		t.Errorf("by another key: got %v", err)
	}
	s.Break("DescribeKey", awsfake.Empty)
	complaint{fault.Malformed, "without metadata", ""}.check(t, uri, openError(t, uri, cloud.Config{}, patience))
	s.Heal()
	s.Break("GetPublicKey", awsfake.Empty)
	complaint{fault.Malformed, "public key", ""}.check(t, uri, openError(t, uri, cloud.Config{}, patience))
}

// What is wrong around the service.
func TestAWSSurroundings(t *testing.T) {
	s := startAWS(t)
	s.AddKey("alias/tsa", awsfake.ECCP256)
	uri := s.URI("alias/tsa")
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	for _, tt := range []struct {
		name string
		env  map[string]string
		uri  string
		want complaint
	}{
		{"no region", map[string]string{"AWS_REGION": ""}, uri, complaint{fault.Malformed, "no AWS region", "AWS_REGION"}},
		{"no credentials", map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, uri, complaint{fault.Credentials, "no AWS credentials", "AWS_ACCESS_KEY_ID"}},
		{"unknown access key", map[string]string{"AWS_ACCESS_KEY_ID": "AKIANOBODY"}, uri, complaint{fault.Credentials, "UnrecognizedClientException", "AWS_ACCESS_KEY_ID"}},
		{"wrong secret", map[string]string{"AWS_SECRET_ACCESS_KEY": "wrong"}, uri, complaint{fault.Credentials, "InvalidSignatureException", "AWS_SECRET_ACCESS_KEY belongs to"}},
		{"no profile", map[string]string{"AWS_PROFILE": "nobody"}, uri, complaint{fault.Credentials, "read the AWS configuration", "AWS_PROFILE"}},
		{"unknown authority", map[string]string{"AWS_CA_BUNDLE": ""}, uri, complaint{fault.Unreachable, "certificate", "AWS_CA_BUNDLE"}},
		{"CA bundle missing", map[string]string{"AWS_CA_BUNDLE": "/nonexistent/ca.pem"}, uri, complaint{fault.Credentials, "/nonexistent/ca.pem", "AWS_CA_BUNDLE"}},
		{"nobody listens", nil, "awskms://" + dead.Addr().String() + "/alias/tsa", complaint{fault.Unreachable, "connection refused", "endpoint"}},
		{"no such host", nil, "awskms://kms.invalid/alias/tsa", complaint{fault.Unreachable, "kms.invalid", "endpoint"}},
		{"certificates unchecked", map[string]string{"AWS_TLS_INSECURE_SKIP_VERIFY": "1"}, uri, complaint{fault.Unsupported, "AWS_TLS_INSECURE_SKIP_VERIFY", "AWS_CA_BUNDLE"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			err := openError(t, tt.uri, cloud.Config{LookupEnv: os.LookupEnv}, patience)
			tt.want.check(t, tt.uri, err)
			if strings.Contains(err.Error(), awsfake.SecretAccessKey) {
				t.Error("the message has the secret")
			}
		})
	}
}

func TestAWSCreate(t *testing.T) {
	s := startAWS(t)
	for _, kind := range []signer.KeyType{signer.P256, signer.P384, signer.P521, signer.RSA2048} {
		t.Run(string(kind), func(t *testing.T) {
			uri := s.URI("alias/new-" + string(kind))
			if err := cloud.Create(t.Context(), parse(t, uri), kind, cloud.Config{}); err != nil {
				t.Fatal(err)
			}
			k := open(t, uri, cloud.Config{})
			pub, isEC := k.Public().(*ecdsa.PublicKey)
			if isEC == (kind == signer.RSA2048) || isEC && "p"+pub.Params().Name[2:] != string(kind) {
				t.Errorf("made a key of type %T", k.Public())
			}
			err := cloud.Create(t.Context(), parse(t, uri), kind, cloud.Config{})
			complaint{fault.Unfit, "exists already", "another name"}.check(t, uri, err)
			if again := open(t, uri, cloud.Config{}); again.Resource() != k.Resource() {
				t.Error("the key was replaced")
			}
		})
	}

	uri := s.URI("1234abcd-12ab-34cd-56ef-1234567890ab")
	complaint{fault.Unsupported, "AWS chooses the ID", "alias/NAME"}.check(t, uri, cloud.Create(t.Context(), parse(t, uri), signer.P256, cloud.Config{}))
	uri = s.URI("alias/ed")
	complaint{fault.Unsupported, "ed25519", "p256"}.check(t, uri, cloud.Create(t.Context(), parse(t, uri), signer.Ed25519, cloud.Config{}))
	s.Break("CreateKey", awsfake.Denied)
	complaint{fault.Denied, "kms:CreateKey", "kms:CreateAlias"}.check(t, uri, cloud.Create(t.Context(), parse(t, uri), signer.P256, cloud.Config{}))
	s.Heal()
	s.Break("CreateAlias", awsfake.Denied)
	complaint{fault.Denied, "kms:CreateAlias", "kms:CreateAlias"}.check(t, uri, cloud.Create(t.Context(), parse(t, uri), signer.P256, cloud.Config{}))
	if n := s.Calls("ScheduleKeyDeletion"); n != 1 {
		t.Errorf("the key without an alias was deleted %d times", n)
	}
	s.Break("ScheduleKeyDeletion", awsfake.Denied)
	complaint{fault.Denied, "kms:CreateAlias", "delete the key arn:aws:kms:"}.check(t, uri, cloud.Create(t.Context(), parse(t, uri), signer.P256, cloud.Config{}))
}

// What stands in the environment of the process counts, whether we were given
// one or not.
func TestAWSUnchecked(t *testing.T) {
	t.Setenv("AWS_TLS_INSECURE_SKIP_VERIFY", "1")
	u, err := signer.ParseURI("awskms:///alias/tsa")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cloud.Open(t.Context(), u, cloud.Config{}); fault.KindOf(err) != fault.Unsupported {
		t.Errorf("got %v; want it refused", err)
	}
}
