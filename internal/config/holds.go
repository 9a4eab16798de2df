package config

// Holds is how legal holds are handled.
type Holds struct {
	// TwoPerson: releasing a hold, also one that was placed before, needs two
	// people: the first asks, another confirms. Default false.
	TwoPerson bool `yaml:"two_person"`
}
