-- The tables of an old installation (MySQL 8, utf8mb4), as its information schema lists them.
-- Only what import_legacy reads; without keys, which some installations lack: tests add rows no key would admit.

CREATE TABLE clients (
    `id` char(36) NOT NULL DEFAULT (uuid()),
    `name` varchar(255) NOT NULL,
    `email` varchar(255) NOT NULL,
    `client_token` varchar(255) NOT NULL,
    `plan` varchar(50) NULL DEFAULT 'free',
    `max_agents` int NULL DEFAULT 5,
    `max_instances` int NULL DEFAULT 10,
    `status` varchar(20) NULL DEFAULT 'active',
    `is_active` tinyint(1) NULL DEFAULT 1,
    `total_savings` decimal(15,4) NULL DEFAULT 0.0000,
    `default_auto_terminate` tinyint(1) NULL DEFAULT 1,
    `default_terminate_wait_seconds` int NULL DEFAULT 300,
    `default_auto_switch_enabled` tinyint(1) NULL DEFAULT 1,
    `created_at` timestamp NULL DEFAULT current_timestamp(),
    `updated_at` timestamp NULL DEFAULT current_timestamp(),
    `last_sync_at` timestamp NULL DEFAULT NULL,
    `metadata` longtext NULL DEFAULT NULL
);

CREATE TABLE agents (
    `id` char(36) NOT NULL DEFAULT (uuid()),
    `client_id` char(36) NOT NULL,
    `logical_agent_id` varchar(255) NOT NULL,
    `hostname` varchar(255) NULL DEFAULT NULL,
    `instance_id` varchar(50) NULL DEFAULT NULL,
    `instance_type` varchar(50) NULL DEFAULT NULL,
    `region` varchar(50) NULL DEFAULT NULL,
    `az` varchar(50) NULL DEFAULT NULL,
    `ami_id` varchar(50) NULL DEFAULT NULL,
    `private_ip` varchar(45) NULL DEFAULT NULL,
    `public_ip` varchar(45) NULL DEFAULT NULL,
    `current_mode` varchar(20) NULL DEFAULT 'unknown',
    `current_pool_id` varchar(100) NULL DEFAULT NULL,
    `spot_price` decimal(10,6) NULL DEFAULT NULL,
    `ondemand_price` decimal(10,6) NULL DEFAULT NULL,
    `baseline_ondemand_price` decimal(10,6) NULL DEFAULT NULL,
    `agent_version` varchar(32) NULL DEFAULT NULL,
    `config_version` int NULL DEFAULT 0,
    `instance_count` int NULL DEFAULT 0,
    `status` varchar(20) NULL DEFAULT 'offline',
    `enabled` tinyint(1) NULL DEFAULT 1,
    `last_heartbeat_at` timestamp NULL DEFAULT NULL,
    `auto_switch_enabled` tinyint(1) NULL DEFAULT 1,
    `auto_terminate_enabled` tinyint(1) NULL DEFAULT 1,
    `terminate_wait_seconds` int NULL DEFAULT 300,
    `replica_enabled` tinyint(1) NULL DEFAULT 0,
    `replica_count` int NULL DEFAULT 0,
    `manual_replica_enabled` tinyint(1) NULL DEFAULT 0,
    `current_replica_id` varchar(255) NULL DEFAULT NULL,
    `installed_at` timestamp NULL DEFAULT current_timestamp(),
    `created_at` timestamp NULL DEFAULT current_timestamp(),
    `updated_at` timestamp NULL DEFAULT current_timestamp(),
    `last_switch_at` timestamp NULL DEFAULT NULL,
    `last_interruption_signal` timestamp NULL DEFAULT NULL,
    `interruption_handled_count` int NULL DEFAULT 0,
    `last_failover_at` timestamp NULL DEFAULT NULL,
    `terminated_at` timestamp NULL DEFAULT NULL,
    `last_termination_notice_at` timestamp NULL DEFAULT NULL,
    `last_rebalance_recommendation_at` timestamp NULL DEFAULT NULL,
    `emergency_replica_count` int NULL DEFAULT 0,
    `cleanup_enabled` tinyint(1) NULL DEFAULT 1,
    `last_cleanup_at` timestamp NULL DEFAULT NULL,
    `metadata` longtext NULL DEFAULT NULL
);

CREATE TABLE agent_configs (
    `agent_id` char(36) NOT NULL,
    `min_savings_percent` decimal(5,2) NULL DEFAULT 15.00,
    `risk_threshold` decimal(3,2) NULL DEFAULT 0.30,
    `max_switches_per_week` int NULL DEFAULT 10,
    `max_switches_per_day` int NULL DEFAULT 3,
    `min_pool_duration_hours` int NULL DEFAULT 2,
    `custom_config` longtext NULL DEFAULT NULL,
    `created_at` timestamp NULL DEFAULT current_timestamp(),
    `updated_at` timestamp NULL DEFAULT current_timestamp()
);

CREATE TABLE instances (
    `id` varchar(64) NOT NULL,
    `client_id` char(36) NOT NULL,
    `agent_id` char(36) NULL DEFAULT NULL,
    `instance_type` varchar(64) NOT NULL,
    `region` varchar(32) NOT NULL,
    `az` varchar(48) NOT NULL,
    `ami_id` varchar(64) NULL DEFAULT NULL,
    `current_mode` varchar(20) NULL DEFAULT 'unknown',
    `current_pool_id` varchar(128) NULL DEFAULT NULL,
    `spot_price` decimal(10,6) NULL DEFAULT NULL,
    `ondemand_price` decimal(10,6) NULL DEFAULT NULL,
    `baseline_ondemand_price` decimal(10,6) NULL DEFAULT NULL,
    `is_active` tinyint(1) NULL DEFAULT 1,
    `instance_status` varchar(20) NULL DEFAULT 'running_primary',
    `is_primary` tinyint(1) NULL DEFAULT 1,
    `installed_at` timestamp NULL DEFAULT current_timestamp(),
    `last_switch_at` timestamp NULL DEFAULT NULL,
    `last_interruption_signal` timestamp NULL DEFAULT NULL,
    `interruption_handled_count` int NULL DEFAULT 0,
    `last_failover_at` timestamp NULL DEFAULT NULL,
    `terminated_at` timestamp NULL DEFAULT NULL,
    `created_at` timestamp NULL DEFAULT current_timestamp(),
    `updated_at` timestamp NULL DEFAULT current_timestamp(),
    `metadata` longtext NULL DEFAULT NULL,
    `termination_attempted_at` timestamp NULL DEFAULT NULL,
    `termination_confirmed` tinyint(1) NULL DEFAULT 0
);

CREATE TABLE switches (
    `id` char(36) NOT NULL DEFAULT (uuid()),
    `client_id` char(36) NOT NULL,
    `agent_id` char(36) NOT NULL,
    `command_id` char(36) NULL DEFAULT NULL,
    `old_instance_id` varchar(50) NULL DEFAULT NULL,
    `old_instance_type` varchar(50) NULL DEFAULT NULL,
    `old_region` varchar(50) NULL DEFAULT NULL,
    `old_az` varchar(50) NULL DEFAULT NULL,
    `old_mode` varchar(20) NULL DEFAULT NULL,
    `old_pool_id` varchar(100) NULL DEFAULT NULL,
    `old_ami_id` varchar(50) NULL DEFAULT NULL,
    `new_instance_id` varchar(50) NULL DEFAULT NULL,
    `new_instance_type` varchar(50) NULL DEFAULT NULL,
    `new_region` varchar(50) NULL DEFAULT NULL,
    `new_az` varchar(50) NULL DEFAULT NULL,
    `new_mode` varchar(20) NULL DEFAULT NULL,
    `new_pool_id` varchar(100) NULL DEFAULT NULL,
    `new_ami_id` varchar(50) NULL DEFAULT NULL,
    `on_demand_price` decimal(10,6) NULL DEFAULT NULL,
    `old_spot_price` decimal(10,6) NULL DEFAULT NULL,
    `new_spot_price` decimal(10,6) NULL DEFAULT NULL,
    `savings_impact` decimal(10,6) NULL DEFAULT NULL,
    `event_trigger` varchar(20) NULL DEFAULT NULL,
    `trigger_type` varchar(20) NULL DEFAULT NULL,
    `snapshot_used` tinyint(1) NULL DEFAULT 0,
    `snapshot_id` varchar(128) NULL DEFAULT NULL,
    `ami_id` varchar(64) NULL DEFAULT NULL,
    `initiated_at` timestamp NULL DEFAULT NULL,
    `ami_created_at` timestamp NULL DEFAULT NULL,
    `instance_launched_at` timestamp NULL DEFAULT NULL,
    `instance_ready_at` timestamp NULL DEFAULT NULL,
    `old_terminated_at` timestamp NULL DEFAULT NULL,
    `timestamp` timestamp NULL DEFAULT current_timestamp(),
    `total_duration_seconds` int NULL DEFAULT NULL,
    `downtime_seconds` int NULL DEFAULT NULL,
    `timing_data` longtext NULL DEFAULT NULL,
    `success` tinyint(1) NULL DEFAULT 1,
    `error_message` text NULL DEFAULT NULL,
    `created_at` timestamp NULL DEFAULT current_timestamp()
);

CREATE TABLE replica_instances (
    `id` varchar(255) NOT NULL,
    `agent_id` varchar(255) NOT NULL,
    `instance_id` varchar(255) NOT NULL,
    `replica_type` enum('manual','automatic-rebalance','automatic-termination') NOT NULL,
    `pool_id` varchar(128) NULL DEFAULT NULL,
    `instance_type` varchar(50) NULL DEFAULT NULL,
    `region` varchar(50) NULL DEFAULT NULL,
    `az` varchar(50) NULL DEFAULT NULL,
    `status` enum('launching','syncing','ready','promoted','terminated','failed') NOT NULL DEFAULT 'launching',
    `created_at` timestamp NULL DEFAULT current_timestamp(),
    `launched_at` timestamp NULL DEFAULT NULL,
    `ready_at` timestamp NULL DEFAULT NULL,
    `promoted_at` timestamp NULL DEFAULT NULL,
    `terminated_at` timestamp NULL DEFAULT NULL,
    `created_by` varchar(255) NULL DEFAULT NULL,
    `parent_instance_id` varchar(255) NULL DEFAULT NULL,
    `is_active` tinyint(1) NULL DEFAULT 1,
    `sync_status` enum('initializing','syncing','synced','out-of-sync') NULL DEFAULT 'initializing',
    `sync_latency_ms` int NULL DEFAULT NULL,
    `last_sync_at` timestamp NULL DEFAULT NULL,
    `sync_started_at` timestamp NULL DEFAULT NULL,
    `sync_completed_at` timestamp NULL DEFAULT NULL,
    `state_transfer_progress` decimal(5,2) NULL DEFAULT 0.00,
    `error_message` text NULL DEFAULT NULL,
    `hourly_cost` decimal(10,6) NULL DEFAULT NULL,
    `total_cost` decimal(10,4) NULL DEFAULT 0.0000,
    `total_runtime_hours` decimal(10,2) NULL DEFAULT 0.00,
    `accumulated_cost` decimal(15,4) NULL DEFAULT 0.0000,
    `interruption_signal_type` enum('rebalance-recommendation','termination-notice') NULL DEFAULT NULL,
    `interruption_detected_at` timestamp NULL DEFAULT NULL,
    `termination_time` timestamp NULL DEFAULT NULL,
    `failover_completed_at` timestamp NULL DEFAULT NULL,
    `tags` longtext NULL DEFAULT NULL,
    `termination_attempted_at` timestamp NULL DEFAULT NULL,
    `termination_confirmed` tinyint(1) NULL DEFAULT 0
);

CREATE TABLE notifications (
    `id` char(36) NOT NULL DEFAULT (uuid()),
    `client_id` char(36) NOT NULL,
    `agent_id` char(36) NULL DEFAULT NULL,
    `notification_type` varchar(50) NULL DEFAULT NULL,
    `title` varchar(255) NULL DEFAULT NULL,
    `message` text NOT NULL,
    `severity` varchar(20) NULL DEFAULT 'info',
    `is_read` tinyint(1) NULL DEFAULT 0,
    `sent_email` tinyint(1) NULL DEFAULT 0,
    `sent_webhook` tinyint(1) NULL DEFAULT 0,
    `created_at` timestamp NULL DEFAULT current_timestamp()
);

CREATE TABLE spot_pools (
    `id` varchar(128) NOT NULL,
    `pool_name` varchar(255) NULL DEFAULT NULL,
    `instance_type` varchar(64) NOT NULL,
    `region` varchar(32) NOT NULL,
    `az` varchar(48) NOT NULL,
    `is_active` tinyint(1) NULL DEFAULT 1,
    `created_at` timestamp NULL DEFAULT current_timestamp(),
    `updated_at` timestamp NULL DEFAULT current_timestamp()
);

CREATE TABLE spot_price_snapshots (
    `id` bigint NOT NULL,
    `pool_id` varchar(128) NOT NULL,
    `price` decimal(10,6) NOT NULL,
    `captured_at` timestamp NULL DEFAULT current_timestamp(),
    `recorded_at` timestamp NULL DEFAULT current_timestamp()
);

CREATE TABLE ondemand_prices (
    `id` char(36) NOT NULL DEFAULT (uuid()),
    `instance_type` varchar(50) NOT NULL,
    `region` varchar(50) NOT NULL,
    `price` decimal(10,6) NOT NULL,
    `recorded_at` timestamp NULL DEFAULT current_timestamp()
);

CREATE TABLE ondemand_price_snapshots (
    `id` bigint NOT NULL,
    `region` varchar(32) NOT NULL,
    `instance_type` varchar(64) NOT NULL,
    `price` decimal(10,6) NOT NULL,
    `captured_at` timestamp NULL DEFAULT current_timestamp(),
    `recorded_at` timestamp NULL DEFAULT current_timestamp()
);

CREATE TABLE system_events (
    `id` bigint NOT NULL,
    `event_type` varchar(64) NOT NULL,
    `severity` varchar(20) NULL DEFAULT 'info',
    `client_id` char(36) NULL DEFAULT NULL,
    `agent_id` char(36) NULL DEFAULT NULL,
    `instance_id` varchar(64) NULL DEFAULT NULL,
    `message` text NULL DEFAULT NULL,
    `metadata` longtext NULL DEFAULT NULL,
    `created_at` timestamp NULL DEFAULT current_timestamp()
);

CREATE TABLE model_upload_sessions (
    `id` char(36) NOT NULL DEFAULT (uuid()),
    `session_type` varchar(20) NOT NULL DEFAULT 'models',
    `status` varchar(20) NULL DEFAULT 'active',
    `is_live` tinyint(1) NULL DEFAULT 0,
    `is_fallback` tinyint(1) NULL DEFAULT 0,
    `file_count` int NULL DEFAULT 0,
    `file_names` longtext NULL DEFAULT NULL,
    `total_size_bytes` bigint NULL DEFAULT 0,
    `uploaded_by` varchar(128) NULL DEFAULT NULL,
    `notes` text NULL DEFAULT NULL,
    `created_at` timestamp NULL DEFAULT current_timestamp(),
    `activated_at` timestamp NULL DEFAULT NULL
);

CREATE TABLE client_savings_monthly (
    `id` bigint NOT NULL,
    `client_id` char(36) NOT NULL,
    `year` int NOT NULL,
    `month` int NOT NULL,
    `baseline_cost` decimal(15,4) NULL DEFAULT 0.0000,
    `actual_cost` decimal(15,4) NULL DEFAULT 0.0000,
    `savings` decimal(15,4) NULL DEFAULT 0.0000,
    `savings_percentage` decimal(5,2) NULL DEFAULT NULL,
    `switch_count` int NULL DEFAULT 0,
    `instance_count` int NULL DEFAULT 0,
    `computed_at` timestamp NULL DEFAULT current_timestamp()
);
