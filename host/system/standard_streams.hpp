// The three standard streams, whoever started the program: a daemon that closed them, a pipe whose reader has gone, a
// full disk.
#pragma once

namespace espalier {

/// Opens /dev/null in the place of every closed one of the descriptors 0, 1 and 2: otherwise the first files the
/// program opens would take their numbers and receive what is printed. To be called before anything is opened.
void open_standard_streams();

/// Writes out what was printed to stdout and asks whether all of it arrived. Returns 0 or the error as an errno value.
int flush_stdout();

}  // namespace espalier
