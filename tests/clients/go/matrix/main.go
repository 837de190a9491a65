// The Go SDK v2 by environment variables alone: a call to each service, or calls for as long as credentials live more than once.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagent"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentruntime"
	agents "github.com/aws/aws-sdk-go-v2/service/bedrockagentruntime/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

const model = "anthropic.claude-sonnet-4-5-20250929-v1:0"

func main() {
	ctx := context.Background()
	// A refusal is not to be hidden by trying again.
	environment, err := config.LoadDefaultConfig(ctx, config.WithRetryMaxAttempts(1))
	if err != nil {
		fmt.Println("failed configuration:", err)
		os.Exit(1)
	}
	seconds, _ := strconv.ParseFloat(os.Getenv("MATRIX_SECONDS"), 64)
	failed := false
	for _, service := range strings.Fields(os.Getenv("MATRIX_SERVICES")) {
		call := calls(environment)[service]
		until := time.Now().Add(time.Duration(seconds * float64(time.Second)))
		err := call(ctx)
		for err == nil && time.Now().Before(until) {
			err = call(ctx)
			time.Sleep(100 * time.Millisecond)
		}
		if err != nil {
			failed = true
			fmt.Printf("failed %s: %s\n", service, strings.Join(strings.Fields(err.Error()), " "))
			continue
		}
		fmt.Println("ok", service)
	}
	if failed {
		os.Exit(1)
	}
}

func calls(environment aws.Config) map[string]func(context.Context) error {
	runtime := bedrockruntime.NewFromConfig(environment)
	control := bedrock.NewFromConfig(environment)
	agent := bedrockagent.NewFromConfig(environment)
	agentRuntime := bedrockagentruntime.NewFromConfig(environment)
	core := bedrockagentcore.NewFromConfig(environment)
	coreControl := bedrockagentcorecontrol.NewFromConfig(environment)
	return map[string]func(context.Context) error{
		"bedrock-runtime": func(ctx context.Context) error {
			content := []types.ContentBlock{&types.ContentBlockMemberText{Value: "Say hello."}}
			messages := []types.Message{{Role: types.ConversationRoleUser, Content: content}}
			_, err := runtime.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String(model), Messages: messages})
			return err
		},
		"bedrock": func(ctx context.Context) error {
			_, err := control.ListFoundationModels(ctx, &bedrock.ListFoundationModelsInput{})
			return err
		},
		"bedrock-agent": func(ctx context.Context) error {
			_, err := agent.ListAgents(ctx, &bedrockagent.ListAgentsInput{})
			return err
		},
		"bedrock-agent-runtime": func(ctx context.Context) error {
			_, err := agentRuntime.Retrieve(ctx, &bedrockagentruntime.RetrieveInput{
				KnowledgeBaseId: aws.String("ABCDEFGHIJ"),
				RetrievalQuery:  &agents.KnowledgeBaseQuery{Text: aws.String("What is a gateway?")},
			})
			return err
		},
		"bedrock-agentcore": func(ctx context.Context) error {
			_, err := core.ListEvents(ctx, &bedrockagentcore.ListEventsInput{
				MemoryId: aws.String("memory-0123456789"), SessionId: aws.String("s"), ActorId: aws.String("a"),
			})
			return err
		},
		"bedrock-agentcore-control": func(ctx context.Context) error {
			_, err := coreControl.ListGateways(ctx, &bedrockagentcorecontrol.ListGatewaysInput{})
			return err
		},
	}
}
