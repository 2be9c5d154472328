// In place of cuda/calls/toolkit_thrust.hpp: on the CPU any Thrust will do.
#pragma once
