// Holds a CycloneDX document against the JSON schema of its version, by the validator of the CycloneDX project.
'use strict';
const fs = require('node:fs');
const { Spec, Validation } = require('@cyclonedx/cyclonedx-library');

async function main() {
	const validator = new Validation.JsonStrictValidator(Spec.Version.v1dot6);
	const faults = await validator.validate(fs.readFileSync(process.argv[2], 'utf8'));
	if (faults !== null) {
		for (const { instancePath, message } of faults) console.error(instancePath, message);
		return 1;
	}
	console.log('valid CycloneDX 1.6');
	return 0;
}

main().then(
	(status) => { process.exitCode = status; },
	(error) => { console.error(error); process.exitCode = 2; },
);
