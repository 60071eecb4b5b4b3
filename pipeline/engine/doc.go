// Package engine is the training loop and nothing else, in the shape torchnet
// gave it (Collobert, van der Maaten & Joulin 2016): an Engine with Train and
// Test, a State that every hook may read and change, and Meters that share
// Add, Reset and Value.
//
// The engine knows no teacher, no loss and no file. Package pipeline builds the
// trainer from hooks on this engine, and a user of the packages can add more.
package engine
