#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The live graph is exported with all its nodes.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"

lab
check "graph --dot" ctl graph --dot "$work/graph.dot"
dot=$(cat "$work/graph.dot" 2> /dev/null)
contains "it is a graph" '^[Dd]igraph' "$dot"
for node in port_rx classify coap open admit seal commit receipts reply arp nd icmp port_tx drop; do
        contains "node $node" "(^|[^a-z])$node([^a-z]|\$)" "$dot"
done
contains "edges" '"classify"->"coap"' "$dot"
same "graph prints the same" "$dot" "$(ctl graph)"
finish
