package main

import "github.com/cometbft/cometbft/abci/types"

// answers says whether this is the kind of answer that a request of this kind gets.
func answers(request *types.Request, response *types.Response) bool {
	switch request.Value.(type) {
	case *types.Request_CheckTx:
		return response.GetCheckTx() != nil
	case *types.Request_Flush:
		return response.GetFlush() != nil
	case *types.Request_Echo:
		return response.GetEcho() != nil
	case *types.Request_Info:
		return response.GetInfo() != nil
	case *types.Request_Query:
		return response.GetQuery() != nil
	case *types.Request_InitChain:
		return response.GetInitChain() != nil
	case *types.Request_PrepareProposal:
		return response.GetPrepareProposal() != nil
	case *types.Request_ProcessProposal:
		return response.GetProcessProposal() != nil
	case *types.Request_FinalizeBlock:
		return response.GetFinalizeBlock() != nil
	case *types.Request_Commit:
		return response.GetCommit() != nil
	case *types.Request_ListSnapshots:
		return response.GetListSnapshots() != nil
	case *types.Request_OfferSnapshot:
		return response.GetOfferSnapshot() != nil
	case *types.Request_LoadSnapshotChunk:
		return response.GetLoadSnapshotChunk() != nil
	case *types.Request_ApplySnapshotChunk:
		return response.GetApplySnapshotChunk() != nil
	default: // Vote extensions and the mempool of an application are not used.
		return false
	}
}
