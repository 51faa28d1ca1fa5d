package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	abcicli "github.com/cometbft/cometbft/abci/client"
	"github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/libs/protoio"
	"github.com/cometbft/cometbft/libs/service"
)

const (
	dialEvery  = 100 * time.Millisecond
	dialLimit  = 30 * time.Second
	bufferSize = 1 << 16

	messageLimit = 100 << 20 // As CometBFT has it, and the application.
)

var errUnexpected = errors.New("the application answered what was not asked")

// creator makes one client per connection that CometBFT wants: consensus, mempool, queries, snapshots.
type creator struct{ address string }

func (c creator) NewABCIClient() (abcicli.Client, error) {
	made := &client{address: c.address, wake: make(chan struct{}, 1)}
	made.BaseService = *service.NewBaseService(nil, "abci", made)
	return made, nil
}

// client speaks ABCI to an application over one socket. Requests are written in the order in which they are made, all
// that wait at once with one write; answers come in the same order.
type client struct {
	service.BaseService
	address string
	conn    net.Conn
	wake    chan struct{} // Something waits to be written.

	mtx     sync.Mutex
	unsent  []*abcicli.ReqRes
	waiting []*abcicli.ReqRes // For answers, from `first` on; sent or not.
	first   int
	heard   abcicli.Callback
	err     error
}

var _ abcicli.Client = (*client)(nil)

// OnStart connects; the application listens before the engine starts, so it is waited for only a little.
func (c *client) OnStart() error {
	network, address, found := strings.Cut(c.address, "://")
	if !found {
		network, address = "tcp", c.address
	}
	for started := time.Now(); ; time.Sleep(dialEvery) {
		conn, err := net.Dial(network, address)
		if err == nil {
			c.conn = conn
			break
		}
		if time.Since(started) > dialLimit {
			return err
		}
	}
	go c.write()
	go c.read()
	return nil
}

// OnStop lets go of whoever waits; they find nothing but the error.
func (c *client) OnStop() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
	c.mtx.Lock()
	defer c.mtx.Unlock()
	if c.err == nil {
		c.err = net.ErrClosed
	}
	for _, each := range c.waiting[c.first:] {
		each.Done()
	}
	c.waiting, c.unsent, c.first = nil, nil, 0
}

func (c *client) Error() error {
	c.mtx.Lock()
	defer c.mtx.Unlock()
	return c.err
}

func (c *client) SetResponseCallback(heard abcicli.Callback) {
	c.mtx.Lock()
	defer c.mtx.Unlock()
	c.heard = heard
}

// send puts a request in line.
func (c *client) send(request *types.Request) (*abcicli.ReqRes, error) {
	made := abcicli.NewReqRes(request)
	c.mtx.Lock()
	if c.err != nil {
		c.mtx.Unlock()
		return nil, c.err
	}
	c.unsent = append(c.unsent, made)
	c.waiting = append(c.waiting, made)
	c.mtx.Unlock()
	select {
	case c.wake <- struct{}{}:
	default: // It is awake already.
	}
	return made, nil
}

// ask waits for the answer; the message is nil where there is only an error.
func (c *client) ask(request *types.Request) (*types.Response, error) {
	made, err := c.send(request)
	if err != nil {
		return nil, err
	}
	made.Wait()
	if made.Response == nil {
		return nil, c.Error()
	}
	return made.Response, nil
}

func (c *client) write() {
	writer := bufio.NewWriterSize(c.conn, bufferSize)
	messages := protoio.NewDelimitedWriter(writer) // Kept, and its buffer with it.
	for {
		select {
		case <-c.wake:
		case <-c.Quit():
			return
		}
		c.mtx.Lock()
		taken := c.unsent
		c.unsent = nil
		c.mtx.Unlock()
		for _, each := range taken {
			if _, err := messages.WriteMsg(each.Request); err != nil {
				c.fail(err)
				return
			}
		}
		if err := writer.Flush(); err != nil {
			c.fail(err)
			return
		}
	}
}

func (c *client) read() {
	messages := protoio.NewDelimitedReader(bufio.NewReaderSize(c.conn, bufferSize), messageLimit)
	for {
		response := &types.Response{}
		if _, err := messages.ReadMsg(response); err != nil {
			c.fail(err)
			return
		}
		if said := response.GetException(); said != nil {
			c.fail(errors.New(said.Error))
			return
		}
		made, heard := c.next()
		if made == nil {
			c.fail(errUnexpected)
			return
		}
		if !answers(made.Request, response) {
			made.Done()
			c.fail(errUnexpected)
			return
		}
		made.Response = response
		made.Done()
		if heard != nil {
			heard(made.Request, response)
		}
		made.InvokeCallback()
	}
}

// next is the request whose answer comes now.
func (c *client) next() (*abcicli.ReqRes, abcicli.Callback) {
	c.mtx.Lock()
	defer c.mtx.Unlock()
	if c.first == len(c.waiting) {
		return nil, nil
	}
	made := c.waiting[c.first]
	c.waiting[c.first] = nil
	c.first++
	if c.first == len(c.waiting) {
		c.waiting, c.first = c.waiting[:0], 0
	}
	return made, c.heard
}

// fail stops the client, and with it the engine: an application that was away may not know what it was told.
func (c *client) fail(err error) {
	if !c.IsRunning() {
		return
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the application hung up")
	}
	c.mtx.Lock()
	if c.err == nil {
		c.err = err
	}
	c.mtx.Unlock()
	c.Logger.Error("the connection to the application ended", "err", err)
	_ = c.Stop()
}

// CheckTxAsync does not wait: the mempool hears the answer by a callback.
func (c *client) CheckTxAsync(_ context.Context, r *types.RequestCheckTx) (*abcicli.ReqRes, error) {
	return c.send(types.ToRequestCheckTx(r))
}

// Flush waits until all that was asked before is answered and heard.
func (c *client) Flush(context.Context) error {
	_, err := c.ask(types.ToRequestFlush())
	return err
}

func (c *client) Echo(_ context.Context, text string) (*types.ResponseEcho, error) {
	r, err := c.ask(types.ToRequestEcho(text))
	return r.GetEcho(), err
}

func (c *client) Info(_ context.Context, q *types.RequestInfo) (*types.ResponseInfo, error) {
	r, err := c.ask(types.ToRequestInfo(q))
	return r.GetInfo(), err
}

func (c *client) Query(_ context.Context, q *types.RequestQuery) (*types.ResponseQuery, error) {
	r, err := c.ask(types.ToRequestQuery(q))
	return r.GetQuery(), err
}

func (c *client) CheckTx(_ context.Context, q *types.RequestCheckTx) (*types.ResponseCheckTx, error) {
	r, err := c.ask(types.ToRequestCheckTx(q))
	return r.GetCheckTx(), err
}

func (c *client) InsertTx(_ context.Context, q *types.RequestInsertTx) (*types.ResponseInsertTx, error) {
	r, err := c.ask(types.ToRequestInsertTx(q))
	return r.GetInsertTx(), err
}

func (c *client) ReapTxs(_ context.Context, q *types.RequestReapTxs) (*types.ResponseReapTxs, error) {
	r, err := c.ask(types.ToRequestReapTxs(q))
	return r.GetReapTxs(), err
}

func (c *client) InitChain(_ context.Context, q *types.RequestInitChain) (*types.ResponseInitChain, error) {
	r, err := c.ask(types.ToRequestInitChain(q))
	return r.GetInitChain(), err
}

func (c *client) PrepareProposal(
	_ context.Context, q *types.RequestPrepareProposal,
) (*types.ResponsePrepareProposal, error) {
	r, err := c.ask(types.ToRequestPrepareProposal(q))
	return r.GetPrepareProposal(), err
}

func (c *client) ProcessProposal(
	_ context.Context, q *types.RequestProcessProposal,
) (*types.ResponseProcessProposal, error) {
	r, err := c.ask(types.ToRequestProcessProposal(q))
	return r.GetProcessProposal(), err
}

func (c *client) FinalizeBlock(_ context.Context, q *types.RequestFinalizeBlock) (*types.ResponseFinalizeBlock, error) {
	r, err := c.ask(types.ToRequestFinalizeBlock(q))
	return r.GetFinalizeBlock(), err
}

func (c *client) ExtendVote(_ context.Context, q *types.RequestExtendVote) (*types.ResponseExtendVote, error) {
	r, err := c.ask(types.ToRequestExtendVote(q))
	return r.GetExtendVote(), err
}

func (c *client) VerifyVoteExtension(
	_ context.Context, q *types.RequestVerifyVoteExtension,
) (*types.ResponseVerifyVoteExtension, error) {
	r, err := c.ask(types.ToRequestVerifyVoteExtension(q))
	return r.GetVerifyVoteExtension(), err
}

func (c *client) Commit(context.Context, *types.RequestCommit) (*types.ResponseCommit, error) {
	r, err := c.ask(types.ToRequestCommit())
	return r.GetCommit(), err
}

func (c *client) ListSnapshots(_ context.Context, q *types.RequestListSnapshots) (*types.ResponseListSnapshots, error) {
	r, err := c.ask(types.ToRequestListSnapshots(q))
	return r.GetListSnapshots(), err
}

func (c *client) OfferSnapshot(_ context.Context, q *types.RequestOfferSnapshot) (*types.ResponseOfferSnapshot, error) {
	r, err := c.ask(types.ToRequestOfferSnapshot(q))
	return r.GetOfferSnapshot(), err
}

func (c *client) LoadSnapshotChunk(
	_ context.Context, q *types.RequestLoadSnapshotChunk,
) (*types.ResponseLoadSnapshotChunk, error) {
	r, err := c.ask(types.ToRequestLoadSnapshotChunk(q))
	return r.GetLoadSnapshotChunk(), err
}

func (c *client) ApplySnapshotChunk(
	_ context.Context, q *types.RequestApplySnapshotChunk,
) (*types.ResponseApplySnapshotChunk, error) {
	r, err := c.ask(types.ToRequestApplySnapshotChunk(q))
	return r.GetApplySnapshotChunk(), err
}
