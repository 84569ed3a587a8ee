// Package release makes a release of this tree, and checks it as a stranger would.
//
// It clones the repository, commits the tree as it is there, tags that, and has deploy/release build, sign
// and stamp it. What the page about releases tells its readers to run is run as it stands there.
package release
