// CometBFT with an ABCI client of our own: the ordering engine of a Salus member.
//
// The stock client asks its connection to be flushed every 20 nanoseconds, by a constant that was meant as
// milliseconds, and so spends almost half of all processor time on saying "flush". This one writes whatever waits as
// soon as it may. All else is CometBFT as it is published, used as a library; the stock binary works as well.
package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/cometbft/cometbft/cmd/cometbft/commands"
	"github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/libs/cli"
	"github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/privval"
	"github.com/cometbft/cometbft/proxy"
)

// Garbage is collected when memory has grown fivefold: an engine holds some tens of megabytes, and collecting at each
// doubling costs more than these are worth. GOGC in the environment overrides it.
const gcPercent = 400

// What CometBFT says when consensus has failed beyond mending, as beside an application that computes another state than
// the validators agreed on. Alone it would go on as a node that decides nothing for ever, and whoever supervises it
// would not notice.
const (
	consensusFailure = "CONSENSUS FAILURE!!!"
	consensusFailed  = 70 // BSD's EX_SOFTWARE.
)

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	root := commands.RootCmd
	root.AddCommand(commands.InitFilesCmd, commands.VersionCmd, commands.ShowNodeIDCmd)
	root.AddCommand(commands.RollbackStateCmd, commands.InspectCmd)
	root.AddCommand(commands.NewRunNodeCmd(newNode))
	home := os.ExpandEnv(filepath.Join("$HOME", config.DefaultCometDir))
	if err := cli.PrepareBaseCmd(root, "CMT", home).Execute(); err != nil {
		os.Exit(1)
	}
}

// clients speak to an application behind a socket in our own way, and to one that is built in (kvstore, the floor of our
// measurements) in CometBFT's.
func clients(conf *config.Config) proxy.ClientCreator {
	if strings.Contains(conf.ProxyApp, ":") {
		return creator{address: conf.ProxyApp}
	}
	return proxy.DefaultClientCreator(conf.ProxyApp, conf.ABCI, conf.DBDir())
}

// newNode is CometBFT's usual node, but for who speaks to the application.
func newNode(conf *config.Config, logger log.Logger) (*node.Node, error) {
	key, err := p2p.LoadOrGenNodeKey(conf.NodeKeyFile())
	if err != nil {
		return nil, err
	}
	return node.NewNode(
		conf,
		privval.LoadOrGenFilePV(conf.PrivValidatorKeyFile(), conf.PrivValidatorStateFile()),
		key,
		clients(conf),
		node.DefaultGenesisDocProviderFunc(conf),
		config.DefaultDBProvider,
		node.DefaultMetricsProvider(conf.Instrumentation),
		ending{logger},
	)
}

// ending is a logger that ends the process once consensus has failed: CometBFT tells of it in no other way.
type ending struct{ log.Logger }

func (e ending) Error(message string, pairs ...interface{}) {
	e.Logger.Error(message, pairs...)
	if message == consensusFailure {
		os.Exit(consensusFailed)
	}
}

func (e ending) With(pairs ...interface{}) log.Logger {
	return ending{e.Logger.With(pairs...)}
}
