// Everything a user of the library needs: `#include <espalier/espalier.hpp>`.
#pragma once

#include "espalier/activation.hpp"
#include "espalier/backend.hpp"
#include "espalier/error.hpp"
#include "espalier/evolution_rules.hpp"
#include "espalier/experiment.hpp"
#include "espalier/layer.hpp"
#include "espalier/loss.hpp"
#include "espalier/optimizer.hpp"
#include "espalier/schedule.hpp"
#include "espalier/topology.hpp"
#include "espalier/topology_statistics.hpp"
#include "espalier/version.hpp"
