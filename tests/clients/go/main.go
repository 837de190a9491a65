// The Go SDK v2 against the gateway: runtime and control plane as bearer, agents as SigV4 with a session token.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	control "github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagent"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentruntime"
	agents "github.com/aws/aws-sdk-go-v2/service/bedrockagentruntime/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/auth/bearer"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	acmeModel   = "anthropic.claude-sonnet-4-5-20250929-v1:0"
	globexModel = "anthropic.claude-3-haiku-20240307-v1:0"
	profileARN  = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
	agentARN    = "arn:aws:bedrock:us-east-1:123456789012:agent/ABCDEFGHIJ"
	sessionARN  = "arn:aws:bedrock:us-east-1:123456789012:session/0f8fad5b-d9cb-469f-a165-70867728950e"

	anthropicBody = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":64,` +
		`"messages":[{"role":"user","content":"Say hello."}]}`
)

var ctx = context.Background()

func main() {
	fmt.Println("version", moduleVersion("github.com/aws/aws-sdk-go-v2/service/bedrockruntime"))
	environment, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		fmt.Println("failed configuration:", oneLine(err))
		os.Exit(1)
	}

	runtime := bedrockruntime.NewFromConfig(environment)
	check("Converse", func() error { return converse(runtime, acmeModel) })
	check("Converse by profile ARN", func() error { return converse(runtime, profileARN) })
	check("ConverseStream", func() error { return converseStream(runtime, acmeModel) })
	check("ConverseStream by profile ARN", func() error { return converseStream(runtime, profileARN) })
	check("InvokeModel", func() error { return invokeModel(runtime) })
	check("InvokeModelWithResponseStream", func() error { return invokeModelWithResponseStream(runtime) })
	check("CountTokens", func() error { return countTokens(runtime) })
	check("ListFoundationModels", func() error { return listFoundationModels(environment) })

	signed := bedrockruntime.NewFromConfig(environment, func(options *bedrockruntime.Options) {
		options.AuthSchemePreference = []string{"sigv4"}
		options.Credentials = credentials.NewStaticCredentialsProvider(
			"placeholder", "placeholder", os.Getenv("TOLLGATE_TOKEN_ACME"))
	})
	check("Converse, token as session token", func() error { return converse(signed, acmeModel) })
	check("ConverseStream, token as session token", func() error { return converseStream(signed, acmeModel) })
	check("Retrieve", func() error { return retrieve(environment) })
	check("UntagResource with repeated query keys", func() error { return untagAgent(environment) })
	check("UntagResource of a session", func() error { return untagSession(environment) })

	globex := bedrockruntime.NewFromConfig(environment, func(options *bedrockruntime.Options) {
		options.BearerAuthTokenProvider = bearer.StaticTokenProvider{
			Token: bearer.Token{Value: os.Getenv("TOLLGATE_TOKEN_GLOBEX")},
		}
		options.RetryMaxAttempts = 1
	})
	check("a model of another tenant is AccessDeniedException", func() error { return denied(globex) })
	check("a burst ends in ThrottlingException", func() error { return throttled(globex) })
	if failed > 0 {
		os.Exit(1)
	}
}

func converse(client *bedrockruntime.Client, model string) error {
	answer, err := client.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &model, Messages: hello()})
	if err != nil {
		return err
	}
	message, isMessage := answer.Output.(*types.ConverseOutputMemberMessage)
	if !isMessage || len(message.Value.Content) == 0 {
		return fmt.Errorf("no message in %v", answer.Output)
	}
	block, isText := message.Value.Content[0].(*types.ContentBlockMemberText)
	return errors.Join(
		cameFrom(answer.ResultMetadata, "bedrock-runtime", "Converse"),
		ensure(isText && strings.TrimSpace(block.Value) != "", "no text"),
		ensure(stopped(answer.StopReason), "stop reason "+string(answer.StopReason)),
		addsUp(answer.Usage),
	)
}

func converseStream(client *bedrockruntime.Client, model string) error {
	answer, err := client.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: &model, Messages: hello()})
	if err != nil {
		return err
	}
	stream := answer.GetStream()
	defer stream.Close()
	var text strings.Builder
	var stop types.StopReason
	var usage *types.TokenUsage
	for event := range stream.Events() {
		switch event := event.(type) {
		case *types.ConverseStreamOutputMemberContentBlockDelta:
			if delta, isText := event.Value.Delta.(*types.ContentBlockDeltaMemberText); isText {
				text.WriteString(delta.Value)
			}
		case *types.ConverseStreamOutputMemberMessageStop:
			stop = event.Value.StopReason
		case *types.ConverseStreamOutputMemberMetadata:
			usage = event.Value.Usage
		}
	}
	return errors.Join(
		stream.Err(),
		cameFrom(answer.ResultMetadata, "bedrock-runtime", "ConverseStream"),
		ensure(strings.TrimSpace(text.String()) != "", "no text"),
		ensure(stopped(stop), "stop reason "+string(stop)),
		addsUp(usage),
	)
}

func invokeModel(client *bedrockruntime.Client) error {
	answer, err := client.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{
		ModelId: aws.String(acmeModel), Body: []byte(anthropicBody), ContentType: aws.String("application/json"),
	})
	if err != nil {
		return err
	}
	var message struct {
		Content []struct{ Text string }
		Usage   struct {
			Input  int `json:"input_tokens"`
			Output int `json:"output_tokens"`
		}
	}
	if err := json.Unmarshal(answer.Body, &message); err != nil {
		return err
	}
	return errors.Join(
		cameFrom(answer.ResultMetadata, "bedrock-runtime", "InvokeModel"),
		ensure(len(message.Content) > 0 && message.Content[0].Text != "", "no text"),
		ensure(message.Usage.Input > 0 && message.Usage.Output > 0, "no tokens"),
	)
}

func invokeModelWithResponseStream(client *bedrockruntime.Client) error {
	answer, err := client.InvokeModelWithResponseStream(ctx, &bedrockruntime.InvokeModelWithResponseStreamInput{
		ModelId: aws.String(acmeModel), Body: []byte(anthropicBody),
	})
	if err != nil {
		return err
	}
	stream := answer.GetStream()
	defer stream.Close()
	type chunk struct {
		Type    string
		Delta   struct{ Text string }
		Metrics struct{ OutputTokenCount int } `json:"amazon-bedrock-invocationMetrics"`
	}
	var text string
	var last chunk
	for event := range stream.Events() {
		bytes, isChunk := event.(*types.ResponseStreamMemberChunk)
		if !isChunk {
			return fmt.Errorf("unexpected event %T", event)
		}
		last = chunk{}
		if err := json.Unmarshal(bytes.Value.Bytes, &last); err != nil {
			return err
		}
		text += last.Delta.Text
	}
	return errors.Join(
		stream.Err(),
		cameFrom(answer.ResultMetadata, "bedrock-runtime", "InvokeModelWithResponseStream"),
		ensure(text != "", "no text"),
		ensure(last.Type == "message_stop", "the last chunk is a "+last.Type),
		ensure(last.Metrics.OutputTokenCount > 0, "no tokens in the last chunk"),
	)
}

func countTokens(client *bedrockruntime.Client) error {
	input := &types.CountTokensInputMemberConverse{Value: types.ConverseTokensRequest{Messages: hello()}}
	answer, err := client.CountTokens(ctx, &bedrockruntime.CountTokensInput{ModelId: aws.String(acmeModel), Input: input})
	if err != nil {
		return err
	}
	return errors.Join(
		cameFrom(answer.ResultMetadata, "bedrock-runtime", "CountTokens"),
		ensure(aws.ToInt32(answer.InputTokens) > 0, "no input tokens"),
	)
}

func listFoundationModels(environment aws.Config) error {
	client := bedrock.NewFromConfig(environment)
	input := &bedrock.ListFoundationModelsInput{ByOutputModality: control.ModelModalityText}
	answer, err := client.ListFoundationModels(ctx, input)
	if err != nil {
		return err
	}
	listed := false
	for _, model := range answer.ModelSummaries {
		listed = listed || aws.ToString(model.ModelId) == acmeModel
	}
	return errors.Join(
		cameFrom(answer.ResultMetadata, "bedrock", "ListFoundationModels"),
		ensure(listed, "the model is not listed"),
	)
}

func retrieve(environment aws.Config) error {
	client := bedrockagentruntime.NewFromConfig(environment)
	answer, err := client.Retrieve(ctx, &bedrockagentruntime.RetrieveInput{
		KnowledgeBaseId: aws.String("ABCDEFGHIJ"),
		RetrievalQuery:  &agents.KnowledgeBaseQuery{Text: aws.String("What is a gateway?")},
	})
	if err != nil {
		return err
	}
	return errors.Join(
		cameFrom(answer.ResultMetadata, "bedrock-agent-runtime", "Retrieve"),
		ensure(answer.RetrievalResults != nil, "no list of results"),
	)
}

func untagAgent(environment aws.Config) error {
	client := bedrockagent.NewFromConfig(environment)
	input := &bedrockagent.UntagResourceInput{ResourceArn: aws.String(agentARN), TagKeys: []string{"a", "b"}}
	answer, err := client.UntagResource(ctx, input)
	if err != nil {
		return err
	}
	return cameFrom(answer.ResultMetadata, "bedrock-agent", "UntagResource")
}

func untagSession(environment aws.Config) error {
	client := bedrockagentruntime.NewFromConfig(environment)
	input := &bedrockagentruntime.UntagResourceInput{ResourceArn: aws.String(sessionARN), TagKeys: []string{"a b", "c"}}
	answer, err := client.UntagResource(ctx, input)
	if err != nil {
		return err
	}
	return cameFrom(answer.ResultMetadata, "bedrock-agent-runtime", "UntagResource")
}

func denied(globex *bedrockruntime.Client) error {
	var throttling *types.ThrottlingException
	// An earlier client's burst may still count against the tenant.
	for range 130 {
		err := refusal(globex, acmeModel)
		var denial *types.AccessDeniedException
		var response *smithyhttp.ResponseError
		switch {
		case errors.As(err, &throttling):
			time.Sleep(500 * time.Millisecond)
		case errors.As(err, &denial) && errors.As(err, &response):
			return errors.Join(
				ensure(response.HTTPStatusCode() == http.StatusForbidden, "another status than 403"),
				ensure(denial.ErrorMessage() != "", "no message"),
			)
		default:
			return fmt.Errorf("not denied but: %v", err)
		}
	}
	return errors.New("throttled for too long")
}

func throttled(globex *bedrockruntime.Client) error {
	for range 300 {
		err := refusal(globex, globexModel)
		var throttling *types.ThrottlingException
		var typed smithy.APIError
		switch {
		case err == nil:
		case errors.As(err, &throttling) && errors.As(err, &typed):
			return ensure(typed.ErrorCode() == "ThrottlingException", "another code: "+typed.ErrorCode())
		default:
			return fmt.Errorf("not throttled but: %w", err)
		}
	}
	return errors.New("300 calls were not throttled")
}

func refusal(client *bedrockruntime.Client, model string) error {
	_, err := client.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &model, Messages: hello()})
	return err
}

func hello() []types.Message {
	content := []types.ContentBlock{&types.ContentBlockMemberText{Value: "Say hello."}}
	return []types.Message{{Role: types.ConversationRoleUser, Content: content}}
}

func cameFrom(metadata middleware.Metadata, service, operation string) error {
	raw, isResponse := awsmiddleware.GetRawResponse(metadata).(*smithyhttp.Response)
	if !isResponse {
		return errors.New("no raw response")
	}
	return errors.Join(
		equal(raw.Header.Get("x-simulator-service"), service),
		equal(raw.Header.Get("x-simulator-operation"), operation),
	)
}

func stopped(reason types.StopReason) bool {
	return reason == types.StopReasonEndTurn || reason == types.StopReasonMaxTokens ||
		reason == types.StopReasonStopSequence
}

func addsUp(usage *types.TokenUsage) error {
	if usage == nil {
		return errors.New("no usage")
	}
	input, output := aws.ToInt32(usage.InputTokens), aws.ToInt32(usage.OutputTokens)
	return errors.Join(
		ensure(input > 0 && output > 0, "no tokens"),
		ensure(aws.ToInt32(usage.TotalTokens) == input+output, "the total is not the sum"),
	)
}

func equal(found, expected string) error {
	return ensure(found == expected, fmt.Sprintf("%q is not %q", found, expected))
}

func ensure(holds bool, otherwise string) error {
	if holds {
		return nil
	}
	return errors.New(otherwise)
}

var failed int

func check(name string, run func() error) {
	if err := run(); err != nil {
		failed++
		fmt.Printf("failed %s: %s\n", name, oneLine(err))
		return
	}
	fmt.Println("ok", name)
}

func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

func moduleVersion(path string) string {
	if build, known := debug.ReadBuildInfo(); known {
		for _, module := range build.Deps {
			if module.Path == path {
				return module.Version
			}
		}
	}
	return "unknown"
}
