// SPDX-License-Identifier: Apache-2.0

// Netcheck prints, as JSON, what tailscale.com's own netcheck says of the network it stands in,
// for the relays of the DERP map in -map. It asks nobody else.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"os"
	"time"

	"tailscale.com/net/netcheck"
	"tailscale.com/net/netmon"
	"tailscale.com/tailcfg"
	"tailscale.com/types/logger"
	"tailscale.com/util/eventbus"
)

func main() {
	file := flag.String("map", "", "file with the DERP map")
	bind := flag.String("bind", ":0", "address and port to ask from")
	flag.Parse()

	text, err := os.ReadFile(*file)
	if err != nil {
		log.Fatal(err)
	}
	var dm tailcfg.DERPMap
	if err := json.Unmarshal(text, &dm); err != nil {
		log.Fatal(err)
	}
	bus := eventbus.New()
	defer bus.Close()
	mon, err := netmon.New(bus, logger.Discard)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c := &netcheck.Client{NetMon: mon, Logf: logger.Discard}
	if err := c.Standalone(ctx, *bind); err != nil {
		log.Print(err)
	}
	report, err := c.GetReport(ctx, &dm, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		log.Fatal(err)
	}
}
