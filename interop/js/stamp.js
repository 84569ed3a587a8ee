'use strict';
// Signs and verifies files with the npm packages of Sigstore.
//
//   node stamp.js sign URL KEY.pem FILE BUNDLE      a key of our own, a timestamp from URL
//   node stamp.js verify TRUSTED-ROOT KEY.pub FILE BUNDLE
//
// Exit status: 0 yes, 1 no, 2 wrong usage.
const crypto = require('node:crypto');
const fs = require('node:fs');
const { bundleFromJSON, bundleToJSON, BUNDLE_V03_MEDIA_TYPE } = require('@sigstore/bundle');
const { MessageSignatureBundleBuilder, TSAWitness } = require('@sigstore/sign');
const { TrustedRoot } = require('@sigstore/protobuf-specs');
const { toSignedEntity, toTrustMaterial, Verifier } = require('@sigstore/verify');

const hint = 'fencepost';

async function sign(url, keyFile, file, out) {
  const key = crypto.createPrivateKey(fs.readFileSync(keyFile));
  const publicKey = crypto.createPublicKey(key).export({ type: 'spki', format: 'pem' });
  const builder = new MessageSignatureBundleBuilder({
    signer: {
      sign: async (data) => ({
        signature: crypto.sign('sha256', data, key),
        key: { $case: 'publicKey', hint, publicKey },
      }),
    },
    witnesses: [new TSAWitness({ tsaBaseURL: url, retry: 0, timeout: 10000 })],
  });
  const bundle = await builder.create({ data: fs.readFileSync(file) });
  bundle.mediaType = BUNDLE_V03_MEDIA_TYPE;
  fs.writeFileSync(out, JSON.stringify(bundleToJSON(bundle)));
  console.log('signed');
}

function verify(rootFile, keyFile, file, bundleFile) {
  const root = TrustedRoot.fromJSON(JSON.parse(fs.readFileSync(rootFile)));
  const key = crypto.createPublicKey(fs.readFileSync(keyFile)).export({ type: 'spki', format: 'der' });
  const material = toTrustMaterial(root, () => ({
    publicKey: crypto.createPublicKey({ key, format: 'der', type: 'spki' }),
    validFor: () => true,
  }));
  const bundle = bundleFromJSON(JSON.parse(fs.readFileSync(bundleFile)));
  const verifier = new Verifier(material, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 1 });
  verifier.verify(toSignedEntity(bundle, fs.readFileSync(file)));
  console.log('verified');
}

const commands = { sign, verify };
const [name, ...args] = process.argv.slice(2);
if (!Object.hasOwn(commands, name) || args.length !== 4) {
  console.error('usage: stamp.js sign URL KEY FILE BUNDLE | verify TRUSTED-ROOT KEY FILE BUNDLE');
  process.exit(2);
}
Promise.resolve()
  .then(() => commands[name](...args))
  .catch((err) => {
    console.error(`${err.name} ${err.code ?? ''}: ${err.message}${err.cause ? `: ${err.cause.message}` : ''}`);
    process.exit(1);
  });
