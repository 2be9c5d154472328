// A module made of one archive needs a source of its own.
